"""What the kernels of several files share: functions that are compiled into them."""
