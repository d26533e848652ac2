"""One module a dialect: typed objects in, normal forms out. Nothing behind them knows a dialect."""
