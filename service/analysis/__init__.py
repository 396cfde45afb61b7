"""Reading a text: its score, and the predictions and activations of the network. Knows no HTTP."""
