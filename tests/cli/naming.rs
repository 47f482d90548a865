//! Names of places that make no sense.

use crate::home::{Home, finish};

#[test]
fn a_name_that_makes_no_sense_is_refused_before_a_password_is_asked_for() {
    let home = Home::new();
    for name in ["host:", "joe@host:store", "[::1:store"] {
        let mut list = home.command(&format!("list --repository {name}"));
        list.env("PBS_PASSWORD_CMD", "touch asked; echo secret");
        finish(&mut list)
            .expect(2)
            .says("names no datastore")
            .says(name);
        assert!(!home.path("asked").exists());
    }
}

#[test]
fn no_password_in_a_name_is_shown() {
    let home = Home::new();
    for name in [
        "https://me:s3cret@host/?x",
        "https://me:s3cret@host:port/",
        "s3://me:s3cret@bucket/store",
        "ftp://me:s3cret@host/",
    ] {
        // Of several places each is named, with what is wrong with it.
        for others in ["", " --repository /nowhere"] {
            let run = home.run(&format!("list --repository {name}{others}"));
            let scheme = name.split_once("://").unwrap().0;
            assert!(
                run.stderr.contains(&format!("{scheme}://")),
                "{}",
                run.stderr
            );
            assert!(!run.stderr.contains("s3cret"), "{}", run.stderr);
            assert!(!String::from_utf8_lossy(&run.stdout).contains("s3cret"));
        }
    }
}
