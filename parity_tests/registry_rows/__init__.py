"""The rows of the registry, by the module of lrparity.schedules that they are for."""
