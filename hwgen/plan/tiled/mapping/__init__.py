"""How each task is mapped to the engine: tiles, stationarity, tensors on chip."""
