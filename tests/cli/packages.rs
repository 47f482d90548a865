//! What packages need of the program: that it tells its name, and writes its man pages and completions.

use std::fs;
use std::os::unix::process::CommandExt as _;

use crate::home::{Home, finish};
use crate::running::{has, sh};

const SHARE: &str = "manuals share --name chunk-restore";

/// The commands that `--help` lists, less `help`.
fn commands(home: &Home) -> Vec<String> {
    let help = home.run("--help").expect(0).text();
    let (_, listed) = help.split_once("Commands:\n").unwrap();
    let listed = listed.lines().take_while(|line| line.starts_with("  "));
    let names = listed.map(|line| line.split_whitespace().next().unwrap().to_owned());
    let mut names: Vec<String> = names.filter(|name| name != "help").collect();
    names.sort();
    assert!(names.len() > 10, "{help}");
    names
}

#[test]
fn help_and_advice_have_the_name_that_the_program_was_called_by() {
    let home = Home::new();
    let run = |arguments: &str| {
        let mut command = home.command(arguments);
        finish(command.arg0("/usr/bin/chunk-restore"))
    };
    let help = run("--help").expect(0).text();
    assert!(
        help.contains("Usage: chunk-restore [OPTIONS] <COMMAND>"),
        "{help}"
    );
    assert!(help.contains("\n  chunk-restore list "), "{help}");
    assert!(!help.contains("\n  restore "), "{help}");
    let help = run("serve --help").expect(0).text();
    assert!(help.contains("[ chunk-restore serve vm/100 "), "{help}");
    let version = run("--version").expect(0).text();
    assert!(version.starts_with("chunk-restore "), "{version}");
    run("").expect(2).says("Usage: chunk-restore");
    run("cat vm/200 qemu-server.conf /x")
        .expect(2)
        .says("`chunk-restore list vm/200");
}

#[test]
fn a_name_that_nobody_could_type_is_not_shown() {
    let home = Home::new();
    for name in ["re\u{1b}[31mstore", "", "/", "-restore"] {
        let help = finish(home.command("--help").arg0(name)).expect(0).text();
        assert!(
            help.contains("Usage: restore [OPTIONS]"),
            "{name:?}: {help}"
        );
    }
}

#[test]
fn each_command_has_a_man_page_with_its_options() {
    let home = Home::new();
    let run = home.run(SHARE).expect(0);
    assert_eq!((run.text().as_str(), run.stderr.as_str()), ("", ""));
    let mut expected = vec!["chunk-restore.1".to_owned()];
    let commands = commands(&home);
    expected.extend(
        commands
            .iter()
            .map(|name| format!("chunk-restore-{name}.1")),
    );
    expected.sort();
    assert_eq!(home.names_in("share/man/man1"), expected);

    let page =
        |name: &str| fs::read_to_string(home.path(&format!("share/man/man1/{name}"))).unwrap();
    let main = page("chunk-restore.1");
    for part in [
        ".SH \"EXAMPLES\"\n.nf\n\\&  chunk\\-restore list \\-\\-repository /mnt/datastore\n",
        ".SH \"ENVIRONMENT\"\n.nf\n\\&  PBS_REPOSITORY  ",
        ".SH \"EXIT CODES\"\n.nf\n\\&  0    done\n",
        "chunk\\-restore\\-verify(1)",
    ] {
        assert!(main.contains(part), "{part}: {main}");
    }
    for name in commands {
        let page = page(&format!("chunk-restore-{name}.1"));
        assert!(
            page.contains(&format!(".TH chunk-restore-{name} 1 ")),
            "{page}"
        );
        assert!(page.contains("\\-\\-repository"), "{page}");
    }
}

#[test]
fn bash_completes_commands_and_options() {
    if !has(&["bash"]) {
        return;
    }
    let home = Home::new();
    home.run(SHARE).expect(0);
    let complete = |words: &str| {
        let (before, last) = words.rsplit_once(' ').unwrap();
        let previous = before.rsplit(' ').next().unwrap();
        let script = format!(
            "bash -c 'source share/bash-completion/completions/chunk-restore
             COMP_WORDS=({words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
             function=$(complete -p chunk-restore | sed \"s/.* -F \\([^ ]*\\) .*/\\1/\")
             \"$function\" chunk-restore {last} {previous}
             echo \"${{COMPREPLY[@]}}\"'"
        );
        sh(&home, &script).trim().to_owned()
    };
    assert_eq!(complete("chunk-restore ve"), "verify");
    assert_eq!(complete("chunk-restore image --dam"), "--damage-map");
    assert_eq!(complete("chunk-restore get --zeros pu"), "punch");
}

#[test]
fn completions_for_zsh_and_fish_know_all_commands() {
    let home = Home::new();
    home.run(SHARE).expect(0);
    let read = |path: &str| fs::read_to_string(home.path(path)).unwrap();
    let zsh = read("share/zsh/site-functions/_chunk-restore");
    let fish = read("share/fish/vendor_completions.d/chunk-restore.fish");
    assert!(zsh.starts_with("#compdef chunk-restore\n"), "{zsh}");
    for name in commands(&home) {
        assert!(zsh.contains(&format!("({name})")), "{name}: {zsh}");
        assert!(fish.contains(&format!("-a \"{name}\"")), "{name}: {fish}");
    }
}

#[test]
fn manuals_go_by_the_name_of_the_program_unless_told_another() {
    let home = Home::new();
    home.run("manuals share").expect(0);
    assert!(home.path("share/man/man1/restore-list.1").is_file());
    home.run("manuals share --name ../x")
        .expect(2)
        .says("a name has letters, digits");
    home.write("work/file", "");
    home.run("manuals file")
        .expect(8)
        .says("cannot write file/man/man1/restore.1");
}
