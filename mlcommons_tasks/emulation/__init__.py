"""What only an emulator has: scenarios, faults, a journal, namespaces, a clock that can be moved."""
