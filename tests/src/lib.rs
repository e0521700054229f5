//! System tests on booted machines, scenarios, fault tests, tidy rules.
