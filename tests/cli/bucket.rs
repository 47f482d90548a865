//! Places in S3 buckets: credentials, endpoints, and what is said when they are wrong.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use testkit::{Fault, Folder, S3Fault, S3Options, S3Server, When};

use crate::home::{GOLDEN_RAW, Home, events, finish, sha256};

fn server(options: S3Options) -> S3Server {
    let datastore = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/datastore");
    options.http(Arc::new(Folder::new(datastore)))
}

/// The program with the credentials in its environment.
fn command(home: &Home, server: &S3Server, arguments: &str) -> Command {
    let mut command = home.command(arguments);
    command
        .env("PBS_REPOSITORY", S3Server::PLACE)
        .env("AWS_ENDPOINT_URL", server.endpoint())
        .env("AWS_ACCESS_KEY_ID", S3Server::ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", S3Server::SECRET_KEY);
    command
}

#[test]
fn a_bucket_is_a_place_like_a_folder() {
    let home = Home::new();
    let server = server(S3Options::new().page(7));
    let run = |arguments: &str| finish(&mut command(&home, &server, arguments));
    for list in ["list", "list --ns team/a", "list vm/200"] {
        assert_eq!(run(list).expect(0).text(), home.run(list).expect(0).text());
    }
    let image = run("image vm/200 drive-scsi0.img -").expect(0);
    assert_eq!(sha256(image.stdout), GOLDEN_RAW);
    run("get vm/200 out --streams 3").expect(0);
    assert_eq!(home.sha256_of("out/drive-scsi0.img"), GOLDEN_RAW);
    assert_eq!(home.names_in("out").len(), 5);
    run("verify vm/201 --keyfile ../golden/keys/plain.key").expect(0);
    run("verify vm/999").expect(5).says("vm/200");
    run("list --ns other").expect(5).says("team");
}

#[test]
fn credentials_come_from_a_profile_too() {
    let home = Home::new();
    let token = "token-of-the-session";
    let server = server(S3Options::new().token(token).region("eu-west-1"));
    let (key, secret) = (S3Server::ACCESS_KEY, S3Server::SECRET_KEY);
    let profile = |name: &str, secret: &str| {
        format!(
            "[{name}]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n\
             aws_session_token = {token}\n"
        )
    };
    let endpoint = server.endpoint();
    let more = format!("region = eu-west-1\nendpoint_url = {endpoint}\n");
    let file = profile("default", "wrong") + &profile("team", secret) + &more;
    home.write(".aws/credentials", &file);
    home.write("elsewhere", file.replace("wrong", secret) + &more);
    let list = |arguments: &str, variables: &[(&str, &str)]| {
        let mut command = home.command(&format!(
            "list --repository {} {arguments}",
            S3Server::PLACE
        ));
        command.envs(variables.iter().copied());
        finish(&mut command)
    };
    let place = format!("--endpoint {endpoint} --region eu-west-1");
    list("--profile team", &[]).expect(0);
    list("", &[("AWS_PROFILE", "team")]).expect(0);
    list(&place, &[]).expect(4).says("secret access key");
    list(&place, &[("AWS_SHARED_CREDENTIALS_FILE", "../elsewhere")]).expect(0);
    let variables = [
        ("AWS_ACCESS_KEY_ID", key),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_SESSION_TOKEN", token),
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("AWS_PROFILE", "nobody"),
    ];
    list("", &variables).expect(0);
    list("--region eu-west-2", &variables)
        .expect(4)
        .says("is the region right?");
    // A profile that is asked for by name comes first.
    list("--profile default", &variables)
        .expect(4)
        .says("secret access key");
    list("--profile nobody", &variables)
        .expect(2)
        .says("the profile nobody of");
    list("", &variables[5..])
        .expect(2)
        .says("the profile nobody of");
    list("", &variables[..1])
        .expect(2)
        .says("AWS_SECRET_ACCESS_KEY");
}

#[test]
fn temporary_credentials_that_expire_are_read_anew() {
    let home = Home::new();
    let options = S3Options::new().token("old");
    let server = server(options.latency(Duration::from_millis(50)));
    let profile = |token: &str| {
        let (key, secret) = (S3Server::ACCESS_KEY, S3Server::SECRET_KEY);
        format!(
            "[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n\
             aws_session_token = {token}\nendpoint_url = {}\n",
            server.endpoint()
        )
    };
    home.write(".aws/credentials", profile("old"));
    let mut command = home.command("image vm/200 drive-scsi0.img disk.raw");
    command.env("PBS_REPOSITORY", S3Server::PLACE);
    let run = thread::spawn(move || finish(&mut command));
    // With the first request the program has read the file.
    while server.counts().requests == 0 {
        thread::yield_now();
    }
    home.write(".aws/credentials", profile("new"));
    server.set_token("new");
    run.join().unwrap().expect(0);
    assert_eq!(home.sha256_of("disk.raw"), GOLDEN_RAW);
    assert!(server.counts().denied > 0, "the old ones were refused");
    server.set_token("newer");
    let mut command = home.command("image vm/200 drive-scsi0.img other.raw");
    command.env("PBS_REPOSITORY", S3Server::PLACE);
    finish(&mut command)
        .expect(4)
        .says("get new temporary credentials");
}

#[test]
fn credentials_region_and_endpoint_come_from_the_other_file_too() {
    let home = Home::new();
    let token = "token-of-the-session";
    let server = server(S3Options::new().token(token).region("eu-west-1"));
    let (key, secret) = (S3Server::ACCESS_KEY, S3Server::SECRET_KEY);
    let keys = |secret: &str| {
        format!(
            "aws_access_key_id = {key}\naws_secret_access_key = {secret}\naws_session_token = {token}\n"
        )
    };
    let (right, wrong) = (keys(secret), keys("wrong"));
    let endpoint = server.endpoint();
    let config = format!(
        "[default]\nregion = eu-west-1\nendpoint_url = {endpoint}\n\
         [profile team]\n{right}region = eu-west-1\nendpoint_url = {endpoint}\n\
         [profile wrong]\n{wrong}region = eu-west-1\nservices = own\nendpoint_url = http://127.0.0.1:1\n\
         [services own]\nec2 =\n  endpoint_url = http://127.0.0.1:2\ns3 =\n  endpoint_url = {endpoint}\n\
         [profile sign-on]\nsso_session = own\nsso_account_id = 1\n\
         [profile role]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = team\n\
         [profile command]\ncredential_process = /bin/false\n"
    );
    home.write(".aws/config", &config);
    let list = |arguments: &str, variables: &[(&str, &str)]| {
        let place = S3Server::PLACE;
        let mut command = home.command(&format!("list --repository {place} {arguments}"));
        command.envs(variables.iter().copied());
        finish(&mut command)
    };
    list("--profile team", &[]).expect(0);
    list("", &[("AWS_PROFILE", "team")]).expect(0);
    // With credentials from variables the rest is still the profile's.
    let variables = [
        ("AWS_ACCESS_KEY_ID", key),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_SESSION_TOKEN", token),
    ];
    list("", &variables).expect(0);
    list("--profile wrong", &[])
        .expect(4)
        .says("secret access key");
    // The file for credentials comes first.
    home.write(".aws/credentials", format!("[wrong]\n{right}"));
    list("--profile wrong", &[]).expect(0);
    home.write("elsewhere", config.replace("profile team", "profile other"));
    let other = [("AWS_CONFIG_FILE", "../elsewhere")];
    list("--profile other", &other).expect(0);
    list("--profile team", &other)
        .expect(2)
        .says("the profile team of");
    for (profile, setting) in [
        ("sign-on", "sso_session"),
        ("role", "role_arn"),
        ("command", "credential_process"),
    ] {
        list(&format!("--profile {profile}"), &[])
            .expect(4)
            .says(&format!(
                "the profile {profile} gets its credentials by {setting}, which is not supported"
            ));
    }
    list("", &[("AWS_WEB_IDENTITY_TOKEN_FILE", "/token")])
        .expect(4)
        .says("AWS_WEB_IDENTITY_TOKEN_FILE, which is not supported");
    home.write(".aws/config", vec![b'#'; 5 << 20]);
    list("", &[]).expect(2).says("cannot read the file");
}

#[test]
fn a_listing_that_is_cut_restores_no_older_snapshot() {
    let home = Home::new();
    let entry =
        |time| format!("<Contents><Key>store1/.cnt/vm/200/{time}/index.json.blob</Key></Contents>");
    let namespace = "http://s3.amazonaws.com/doc/2006-03-01/";
    // What was to come, a newer snapshot and the end, is cut off.
    let cut = format!(
        "<ListBucketResult xmlns=\"{namespace}\">{}",
        entry("2024-06-10T10:00:00Z")
    );
    let fault = |text: &str| S3Fault::Web(Fault::Replace(text.as_bytes().to_vec()));
    let busy = "<Error><Code>InternalError</Code></Error>";
    for (answer, text) in [
        (&cut[..], "it is cut, or no listing at all"),
        (busy, "InternalError"),
    ] {
        let server = server(S3Options::new());
        server.on_any(When::Always, fault(answer));
        // Of two places each is asked less often before it is given up.
        let places = format!("--repository {0} --repository {0}-copy", S3Server::PLACE);
        let image = format!("image vm/200 drive-scsi0.img - {places}");
        let image = finish(&mut command(&home, &server, &image))
            .expect(1)
            .says(text);
        assert!(image.stdout.is_empty());
    }
}

#[test]
fn an_archived_bucket_is_not_salvaged_and_not_lost() {
    let home = Home::new();
    let server = server(S3Options::new());
    let archived = S3Fault::Refusal {
        status: 403,
        code: "InvalidObjectState",
        retry_after: None,
    };
    // All but the manifest and the index.
    server.on_any(When::From(4), archived);
    let snapshot = "vm/200/2024-06-10T10:00:00Z";
    let image = format!("image {snapshot} drive-scsi0.img out.raw --salvage");
    let image = finish(&mut command(&home, &server, &image)).expect(1);
    image.says("restore the datastore's objects from there first");
    let verify = finish(&mut command(&home, &server, &format!("verify {snapshot}"))).expect(1);
    verify.says("archive tier");
}

#[test]
fn what_is_wrong_is_said_and_secrets_are_not() {
    let home = Home::new();
    let server = server(S3Options::new());
    let wrong = "wrong-Iethohx7";
    let mut verify = command(&home, &server, "verify vm/200 --output-format json");
    let said = finish(verify.env("AWS_SECRET_ACCESS_KEY", wrong)).expect(4);
    assert!(!said.text().contains(wrong) && !said.stderr.contains(wrong));
    assert_eq!(events(&said.text()).last().unwrap()["kind"], "denied");
    let list = |place: &str| {
        let mut list = command(&home, &server, "list");
        finish(list.args(["--repository", place]))
    };
    list("s3://other/store1")
        .expect(5)
        .says("there is no bucket other");
    list("s3://backups/other")
        .expect(5)
        .says("there is no datastore other");
    list("s3://backups").expect(2).says("s3://BUCKET/DATASTORE");
    let mut list = home.command("list --repository s3://backups/store1");
    finish(&mut list).expect(4).says("AWS_ACCESS_KEY_ID");
}

#[test]
fn a_certificate_that_was_trusted_before_is_trusted_of_an_endpoint_too() {
    let home = Home::new();
    let datastore = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/datastore");
    let server = S3Options::new().https(Arc::new(Folder::new(datastore)));
    let run = || finish(&mut command(&home, &server, "list"));
    run().expect(4).says(server.fingerprint());
    let line = format!("127.0.0.1 {}\n", server.fingerprint());
    home.write(".config/proxmox-backup/fingerprints", line);
    run().expect(0);
}
