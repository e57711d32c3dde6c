"""The simulated risk API and the load: for the demo, the tests, and an image that shows the product."""
