// The text that one view offers to another. Knows neither of them.

let read = () => "";

/** Offer a text: `reader` gives it when it is asked for. */
export const offerText = (reader) => (read = reader);

/** The offered text; empty if no view offers one. */
export const offeredText = () => read();
