"""The page that moves: changes of `order-status` to every open page."""
