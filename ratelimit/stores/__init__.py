"""The stores floor: implementations of the limiter's port `CounterStore`."""
