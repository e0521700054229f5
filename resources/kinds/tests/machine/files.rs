//! Rows: file, directory, link.

use crate::harness::{Row, debian, row};

/// Rows: file, directory, link.
pub(crate) fn rows() -> Vec<Row> {
    [file_rows(), directory_rows(), link_rows()].into_iter().flatten().collect()
}

fn file_rows() -> Vec<Row> {
    vec![
        row(
            &[("file[/etc/app.conf]", "content = \"port = 1\\n\"\nowner = 'www-data'\ngroup = 'adm'\nmode = '0640'")],
            vec![
                ("nothing", debian(|m| m)),
                ("another content", debian(|m| m.file("/etc/app.conf", "port = 2\n"))),
                ("binary content", debian(|m| m.file("/etc/app.conf", b"\x00\xff"))),
                ("another mode", debian(|m| m.file("/etc/app.conf", "port = 1\n").mode("/etc/app.conf", 0o4777))),
                ("a link", debian(|m| m.file("/etc/kept", "kept").symlink("/etc/app.conf", "/etc/kept"))),
                ("a dangling link", debian(|m| m.symlink("/etc/app.conf", "nowhere"))),
            ],
            &["/etc/app.conf file www-data:adm 0640 \"port = 1\\n\""],
        ),
        row(
            &[("file[/etc/app.conf]", "content = 'new'")],
            vec![("a link to a file of somebody", {
                debian(|m| m.file("/etc/kept", "kept").symlink("/etc/app.conf", "/etc/kept"))
            })],
            &["/etc/app.conf file root:root 0644 \"new\"", "/etc/kept file root:root 0644 \"kept\""],
        ),
        row(
            &[("file[/etc/app.conf]", "content = 'new'\nfollow = true\nmode = '0600'")],
            vec![
                ("a link", debian(|m| m.file("/srv/real", "old").symlink("/etc/app.conf", "/srv/real"))),
                ("a dangling link", debian(|m| m.symlink("/etc/app.conf", "../srv/real"))),
            ],
            &["/srv/real file root:root 0600 \"new\""],
        ),
        row(
            &[("file[/etc/app.conf]", "content = 'good'\nvalidate = ['grep', '-q', 'good', '{path}']")],
            vec![("nothing", debian(|m| m)), ("another content", debian(|m| m.file("/etc/app.conf", "old")))],
            &["/etc/app.conf file root:root 0644 \"good\""],
        ),
        row(
            &[("file[/var/log/app.log]", "mode = '0600'")],
            vec![("nothing", debian(|m| m))],
            &["/var/log/app.log file root:root 0600 \"\""],
        ),
        row(
            &[("file[/var/log/app.log]", "owner = 33\ngroup = 4")],
            vec![("content", debian(|m| m.file("/var/log/app.log", "lines").mode("/var/log/app.log", 0o600)))],
            &["/var/log/app.log file www-data:adm 0600 \"lines\""],
        ),
        Row {
            gone: &["/etc/app.conf"],
            ..row(
                &[("file[/etc/app.conf]", "ensure = 'absent'")],
                vec![
                    ("nothing", debian(|m| m)),
                    ("a file", debian(|m| m.file("/etc/app.conf", "old"))),
                    ("a link", debian(|m| m.file("/etc/kept", "kept").symlink("/etc/app.conf", "/etc/kept"))),
                    ("a socket", debian(|m| m.special("/etc/app.conf"))),
                ],
                &[],
            )
        },
        row(
            &[
                ("group[app]", "gid = 500"),
                ("user[app]", "uid = 500\ngroup = 'app'"),
                ("directory[/srv/app]", "owner = 'app'\nmode = '0750'"),
                ("file[/srv/app/token]", "content = 'x'\nowner = 'app'\ngroup = 'app'"),
            ],
            vec![("nothing", debian(|m| m))],
            &["/srv/app directory app:root 0750", "/srv/app/token file app:app 0644 \"x\""],
        ),
    ]
}

fn directory_rows() -> Vec<Row> {
    vec![
        row(
            &[("directory[/srv/www/a]", "owner = 'www-data'\ngroup = 33\nmode = '2775'\nparents = true")],
            vec![
                ("nothing", debian(|m| m)),
                ("its parent", debian(|m| m.directory("/srv/www"))),
                ("itself", debian(|m| m.directory("/srv/www/a").owner("/srv/www/a", 1, 1))),
            ],
            &["/srv/www directory root:root 0755", "/srv/www/a directory www-data:www-data 2775"],
        ),
        row(
            &[("directory[/srv/www]", "mode = '0700'\nfollow = true")],
            vec![("a link", debian(|m| m.directory("/opt/www").symlink("/srv/www", "/opt/www")))],
            &["/opt/www directory root:root 0700", "/srv/www link root:root -> /opt/www"],
        ),
        Row {
            gone: &["/etc/app/old", "/etc/app/on/stray", "/etc/app/gone"],
            ..row(
                &[
                    ("directory[/etc/app]", "purge = true"),
                    ("file[/etc/app/kept]", "content = 'kept'"),
                    ("directory[/etc/app/own]", ""),
                    ("link[/etc/app/on/the/way]", "to = '/etc/app/kept'"),
                    ("file[/etc/app/gone]", "ensure = 'absent'"),
                ],
                vec![(
                    "stray entries",
                    debian(|m| {
                        m.file("/etc/app/kept", "old")
                            .file("/etc/app/old/deep/er", "x")
                            .file("/etc/app/own/theirs", "x");
                        m.file("/etc/app/on/the/x", "x").file("/etc/app/on/stray", "x").file("/etc/app/gone", "x");
                        m.file("/srv/safe", "x").symlink("/etc/app/old/link", "/srv")
                    }),
                )],
                &[
                    "/etc/app/kept file root:root 0644 \"kept\"",
                    "/etc/app/own/theirs file root:root 0644 \"x\"",
                    "/etc/app/on/the/way link root:root -> /etc/app/kept",
                    "/srv/safe file root:root 0644 \"x\"",
                ],
            )
        },
        Row {
            gone: &["/srv/www"],
            ..row(
                &[("directory[/srv/www]", "ensure = 'absent'")],
                vec![("nothing", debian(|m| m)), ("an empty one", debian(|m| m.directory("/srv/www")))],
                &[],
            )
        },
        Row {
            gone: &["/srv/www"],
            ..row(
                &[("directory[/srv/www]", "ensure = 'absent'\nforce = true")],
                vec![("a full one", {
                    debian(|m| m.file("/srv/www/a/b", "x").file("/etc/kept", "x").symlink("/srv/www/l", "/etc"))
                })],
                &["/etc/kept file root:root 0644 \"x\""],
            )
        },
    ]
}

fn link_rows() -> Vec<Row> {
    vec![
        row(
            &[("link[/srv/current]", "to = 'releases/2'")],
            vec![
                ("nothing", debian(|m| m)),
                ("another link", debian(|m| m.symlink("/srv/current", "releases/1"))),
                ("the same link", debian(|m| m.symlink("/srv/current", "releases/2"))),
            ],
            &["/srv/current link root:root -> releases/2"],
        ),
        row(
            &[("link[/srv/current]", "to = '/opt'\nforce = true")],
            vec![("a file", debian(|m| m.file("/srv/current", "x")))],
            &["/srv/current link root:root -> /opt"],
        ),
        row(
            &[("file[/srv/a]", "content = 'a'"), ("link[/srv/b]", "to = '/srv/a'\ntype = 'hard'\nforce = true")],
            vec![
                ("nothing", debian(|m| m)),
                ("a symbolic link", debian(|m| m.symlink("/srv/b", "/srv/a"))),
                ("another file", debian(|m| m.file("/srv/b", "b"))),
                ("a name of the old file", debian(|m| m.file("/srv/a", "old").hard_link("/srv/b", "/srv/a"))),
            ],
            &["/srv/a file root:root 0644 \"a\"", "/srv/b is /srv/a"],
        ),
        // What is declared below a link is kept where it leads, and the directories on the way to it.
        Row {
            gone: &["/srv/dir/stray"],
            ..row(
                &[
                    ("directory[/srv/dir]", "purge = true"),
                    ("link[/srv/l]", "to = 'dir'"),
                    ("directory[/srv/l/way]", ""),
                    ("file[/srv/l/way/file]", "content = 'x'"),
                ],
                vec![
                    ("a link and strays", {
                        debian(|m| {
                            m.symlink("/srv/l", "dir").file("/srv/dir/stray", "x").file("/srv/dir/way/file", "x")
                        })
                    }),
                    ("nothing", debian(|m| m)),
                ],
                &["/srv/dir/way/file file root:root 0644 \"x\""],
            )
        },
        Row {
            gone: &["/srv/current"],
            ..row(
                &[("link[/srv/current]", "ensure = 'absent'")],
                vec![("nothing", debian(|m| m)), ("a link", debian(|m| m.symlink("/srv/current", "/opt")))],
                &[],
            )
        },
    ]
}
