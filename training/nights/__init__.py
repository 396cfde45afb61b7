"""Above the third floor: night after night, what is new is learned, judged, and published or refused."""
