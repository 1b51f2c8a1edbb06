"""Numbers of protocols that papers print: read, compared, and set beside our own."""
