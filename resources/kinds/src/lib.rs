//! What each kind of resource means: file, directory, link, package, service, user, group, execute.
