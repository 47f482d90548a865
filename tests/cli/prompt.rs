//! Questions on a terminal, and what becomes of the terminal.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::home::Home;
use crate::interrupt::{NEVER, golden_server, on_server, within};

#[test]
fn an_interrupted_question_leaves_the_terminal_as_it_was() {
    within(NEVER, || {
        let home = Home::new();
        let verify = "verify vm/204 --keyfile ../golden/keys/pbkdf2.key";
        let verify = home.command(verify);
        asks_and_is_interrupted(&home, verify, "Passphrase of ");
        let server = golden_server();
        let mut list = on_server(home.command("list"), &server);
        list.env_remove("PBS_FINGERPRINT");
        asks_and_is_interrupted(&home, list, "[y/N]");
        let mut list = on_server(home.command("list"), &server);
        list.env_remove("PBS_PASSWORD");
        asks_and_is_interrupted(&home, list, "Secret of ");
    });
}

/// Runs a command on a terminal of its own, presses Ctrl-C once it asks, and looks at the terminal afterwards.
fn asks_and_is_interrupted(home: &Home, asking: Command, question: &str) {
    let arguments = asking.get_args().map(|argument| argument.to_str().unwrap());
    let arguments: Vec<&str> = arguments.collect();
    let program = asking.get_program().to_str().unwrap();
    let line = format!(
        "trap : INT; {program} {}; echo \"code $?\"; stty -a",
        arguments.join(" ")
    );
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]);
    home.settle(&mut script);
    for (name, value) in asking.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    script.env("PATH", std::env::var_os("PATH").unwrap());
    let mut script = script
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut terminal = script.stdout.take().unwrap();
    let mut shown = String::new();
    while !shown.contains(question) {
        let mut byte = [0];
        assert_eq!(terminal.read(&mut byte).unwrap(), 1, "{shown}");
        shown.push(byte[0].into());
    }
    let mut keys = script.stdin.take().unwrap();
    keys.write_all(b"\x03").unwrap();
    let mut rest = String::new();
    terminal.read_to_string(&mut rest).unwrap();
    script.wait().unwrap();
    assert!(rest.contains("interrupted\r\n"), "{rest}");
    assert!(rest.contains("code 130\r\n"), "{rest}");
    assert!(
        rest.contains(" echo ") && rest.contains(" icanon "),
        "{rest}"
    );
}
