//! The master key, `--master-keyfile`.

use crate::home::Home;

const LOCKED: &str = "verify vm/202 --master-keyfile ../golden/keys/master-locked.pem";

#[cfg(not(feature = "master-key"))]
#[test]
fn a_build_without_master_keys_says_so() {
    let home = Home::new();
    home.run(LOCKED)
        .expect(2)
        .says("it lacks the feature master-key")
        .says("--features master-key");
}

#[cfg(feature = "master-key")]
#[test]
fn the_master_key_alone_is_enough_and_its_passphrase_comes_as_that_of_a_key_file() {
    const PASSPHRASE: &str = "PBS_ENCRYPTION_PASSWORD";
    let home = Home::new();
    home.run_with(PASSPHRASE, "test-passphrase", LOCKED)
        .expect(0);
    home.write("work/secret", "test-passphrase\n");
    home.run_with("PBS_ENCRYPTION_PASSWORD_FILE", "secret", LOCKED)
        .expect(0);
    home.run_with(PASSPHRASE, "wrong", LOCKED)
        .expect(6)
        .says("master-locked.pem: wrong passphrase for the master key");
    home.run(LOCKED)
        .expect(6)
        .says("master-locked.pem: the master key is locked")
        .says("give it in PBS_ENCRYPTION_PASSWORD");
    let list = LOCKED.replace("verify", "list");
    let listed = home
        .run_with(PASSPHRASE, "test-passphrase", &list)
        .expect(0);
    assert!(listed.text().contains("signed by key bc:79:45:eb"));
    assert!(!listed.text().contains("not checked"));
}

#[cfg(feature = "master-key")]
#[test]
fn with_a_master_key_no_key_is_looked_for_that_nobody_named() {
    let home = Home::new();
    home.write(".config/proxmox-backup/encryption-key.json", "not a key");
    let verify = |snapshot: &str, more: &str| {
        let line = LOCKED.replace("vm/202", snapshot);
        let line = format!("{line} {more}");
        home.run_with("PBS_ENCRYPTION_PASSWORD", "test-passphrase", &line)
    };
    verify("vm/202", "").expect(0);
    verify("vm/201", "")
        .expect(6)
        .says("was made without a master key")
        .says("--keyfile");
    verify("vm/200", "").expect(6).says("--allow-unsigned");
    verify("vm/201", "--keyfile ../golden/keys/plain.key").expect(0);
}

#[test]
fn a_master_key_that_is_given_as_a_key_file_is_told_from_one() {
    Home::new()
        .run("verify vm/202 --keyfile ../golden/keys/master-locked.pem")
        .expect(6)
        .says("perhaps the RSA master key")
        .says("--master-keyfile takes the master key");
}
