//! Where keys and their passphrases come from.

use crate::home::{GOLDEN_RAW, Home, golden, sha256};

const PASSPHRASE: &str = "PBS_ENCRYPTION_PASSWORD";

#[test]
fn each_snapshot_takes_its_own_of_several_keys() {
    let home = Home::new();
    let keys = "--keyfile ../golden/keys/plain.key --keyfile ../golden/keys/scrypt.key";
    for snapshot in ["vm/201", "vm/202", "vm/203"] {
        let arguments = format!("image {snapshot} drive-scsi0.img - {keys}");
        let run = home
            .run_with(PASSPHRASE, "test-passphrase", &arguments)
            .expect(0);
        assert_eq!(sha256(run.stdout), GOLDEN_RAW, "{snapshot}");
    }
}

#[test]
fn passphrases_come_from_files_and_commands_too() {
    let home = Home::new();
    home.write("work/secret", "test-passphrase\nnot this line\n");
    let verify = "verify vm/204 --keyfile ../golden/keys/pbkdf2.key";
    home.run_with("PBS_ENCRYPTION_PASSWORD_FILE", "secret", verify)
        .expect(0);
    home.run_with(
        "PBS_ENCRYPTION_PASSWORD_CMD",
        "echo test-passphrase",
        verify,
    )
    .expect(0);
}

#[test]
fn the_default_key_file_is_read_only_where_none_is_named() {
    let home = Home::new();
    let default = ".config/proxmox-backup/encryption-key.json";
    home.write(default, golden("keys/plain.key"));
    home.run("verify vm/201").expect(0);
    home.run("verify vm/200").expect(6).says("not signed");
    home.run("verify vm/200 --allow-unsigned").expect(0);

    home.write(default, "not a key");
    home.run("verify vm/201")
        .expect(6)
        .says("encryption-key.json");
    home.run("verify vm/201 --keyfile ../golden/keys/plain.key")
        .expect(0);
    // Snapshots can be listed without any key.
    home.run("list").expect(0);
}

#[test]
fn key_failures_end_with_6() {
    let home = Home::new();
    home.run("verify vm/201")
        .expect(6)
        .says("is encrypted with key bb:81:19:64");
    home.run("verify vm/201 --keyfile no.key")
        .expect(6)
        .says("no.key");
    let unsigned = "verify vm/200 --keyfile ../golden/keys/plain.key";
    home.run(unsigned)
        .expect(6)
        .says("not signed")
        .says("--allow-unsigned");
    let foreign = home.run("verify vm/204 --keyfile ../golden/keys/plain.key");
    let foreign = foreign
        .expect(6)
        .says("signed with key b1:10:08:f4:cd:d7:2c:d1, not with the given key bb:81:19:64")
        .says("--keyfile names the key file of the key that the snapshot was made with");
    assert!(!foreign.stderr.contains("unsigned"), "{}", foreign.stderr);

    let hinted = "verify vm/202 --keyfile ../golden/keys/scrypt-hint.key";
    home.run(hinted)
        .expect(6)
        .says("scrypt-hint.key")
        .says("(hint: the hint)");
    home.run_with(PASSPHRASE, "test-passphrase", hinted)
        .expect(6)
        .says("bc:79:45:eb");
    let wrong = "verify vm/202 --keyfile ../golden/keys/scrypt.key";
    home.run_with(PASSPHRASE, "wrong", wrong)
        .expect(6)
        .says("scrypt.key");
}
