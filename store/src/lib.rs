//! The central server: http, application, persistence.
