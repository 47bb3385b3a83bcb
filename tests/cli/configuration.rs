//! Errors in the configuration, and the output of `check-config`.

use std::fs;

use crate::command::{outcome, quintet, run};

#[test]
fn help_shows_first_steps_and_each_command_has_examples() {
    let help = run(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    for word in ["quintet dev", "serve", "check-config", "QUINTET_", "Exit codes"] {
        assert!(help.stdout.contains(word), "{word}: {}", help.stdout);
    }
    for command in ["dev", "serve", "check-config", "audit", "backup"] {
        let help = run(&[command, "--help"]);
        assert_eq!(help.code, 0);
        assert!(help.stdout.contains("Example") && help.stdout.contains("--data-dir"), "{}", help.stdout);
    }
    assert!(run(&["--version"]).stdout.starts_with("quintet "));
}

#[test]
fn usage_errors_exit_with_2_and_print_nothing_on_stdout() {
    let mistakes: &[&[&str]] = &[
        &[],
        &["dance"],
        &["dev", "--lisen", "127.0.0.1:0"],
        &["dev", "--jwt-secret", "k"],
        &["dev", "--jwt-key", "k"],
        &["serve", "--jwt-key", "k"],
        &["serve", "--jwt-secret", "k", "--jwt-public-key", "k"],
        &["dev", "--set", "tickets_max"],
        &["serve", "--jwt-secret", "k", "--jwks-url", "https://a.test"],
    ];
    for arguments in mistakes {
        let mistake = run(arguments);
        assert_eq!((mistake.code, mistake.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(!mistake.stderr.is_empty());
    }
}

#[test]
fn invalid_settings_exit_with_2_and_are_named_with_their_source() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("q.toml");
    fs::write(&file, "tickets_max = 0\n").unwrap();
    let file = file.to_str().unwrap();
    let nowhere = folder.path().join("missing.toml");
    let cases: &[(&[&str], &[&str])] = &[
        (&["dev", "--set", "tickets_mx=5"], &["--set tickets_mx", "did you mean \"tickets_max\""]),
        (&["dev", "--set", "tickets_max=many"], &["--set tickets_max", "is many", "from 1 to"]),
        (&["dev", "--listen", "nowhere"], &["--listen", "an IP address and a port"]),
        (&["dev", "--listen", "0.0.0.0:0"], &["--listen", "0.0.0.0:0", "loopback"]),
        (&["dev", "--admin-listen", "192.0.2.7:0"], &["--admin-listen", "loopback"]),
        (&["dev", "--log", "quintet=loud"], &["--log", "level"]),
        (&["dev", "--allow-origin", "*"], &["--allow-origin", "not an origin"]),
        (&["dev", "--journal", "carrier-pigeon://x"], &["journal", "sqlite:FOLDER"]),
        (&["check-config", "--config", file], &["q.toml", "tickets_max", "is 0"]),
        (&["dev", "--config", nowhere.to_str().unwrap()], &["missing.toml", "cannot be read"]),
    ];
    for (arguments, words) in cases {
        let mistake = run(arguments);
        assert_eq!((mistake.code, mistake.stdout.as_str()), (2, ""), "{arguments:?}: {}", mistake.stderr);
        for word in *words {
            assert!(mistake.stderr.contains(word), "{arguments:?}: {word} is not in {}", mistake.stderr);
        }
    }
    let mut command = quintet(["check-config"]);
    command.env("QUINTET_LISTN", "127.0.0.1:0");
    let mistake = outcome(command);
    assert_eq!(mistake.code, 2);
    assert!(mistake.stderr.contains("variable QUINTET_LISTN"), "{}", mistake.stderr);
}

#[test]
fn auth_5_serve_without_a_key_or_origins_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("short"), "too short").unwrap();
    fs::write(path("good"), "kR4vXyT0b9Zq2LmN7sWcE1hJ8uPfG6dA\n").unwrap();
    let private = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/rsa.private.pem");
    let public = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/rsa.public.pem");
    let certificate = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/certificate.pem");
    let origin = ["--allow-origin", "https://chat.example.org"];
    let (short, good, gone) = (path("short"), path("good"), path("gone"));
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &["--jwt-secret", "--jwt-public-key", "--jwks-url", "--allow-origin"]),
        (&["--jwt-secret", &good], &["--allow-origin"]),
        (&origin, &["--jwt-secret", "--jwt-public-key", "--jwks-url"]),
        (&["--jwt-key", &good, origin[0], origin[1]], &["--jwt-secret", "--jwt-public-key"]),
        (&["--jwt-secret", &short, origin[0], origin[1]], &["jwt_secret", "9 bytes", "32"]),
        (&["--jwt-secret", &gone, origin[0], origin[1]], &["jwt_secret", "cannot be read"]),
        (&["--jwt-secret", "/dev/zero", origin[0], origin[1]], &["jwt_secret", "regular file"]),
        (&["--jwt-secret", "/", origin[0], origin[1]], &["jwt_secret", "regular file"]),
        (&["--jwt-secret", public, origin[0], origin[1]], &["jwt_secret", "PEM", "--jwt-public-key"]),
        (&["--jwt-public-key", &good, origin[0], origin[1]], &["jwt_public_key", "PEM", "--jwt-secret"]),
        (&["--jwt-public-key", private, origin[0], origin[1]], &["jwt_public_key", "private key"]),
        (&["--jwt-public-key", certificate, origin[0], origin[1]], &["jwt_public_key", "certificate"]),
        (&["--jwks-url", "https://id.test/", origin[0], origin[1]], &["--jwt-audience", "--any-audience"]),
        (&["--jwks-url", "http://id.example.org/", origin[0], origin[1]], &["--jwks-url", "https is needed"]),
    ];
    let data = path("data");
    for (arguments, words) in cases {
        let refused = outcome({
            let mut command = quintet(["serve", "--data-dir", &data]);
            command.args(*arguments);
            command
        });
        assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{arguments:?}: {}", refused.stderr);
        for word in *words {
            assert!(refused.stderr.contains(word), "{arguments:?}: {word} is not in {}", refused.stderr);
        }
    }
    assert!(!folder.path().join("data").exists(), "no folder was created");
}

#[test]
fn check_config_shows_each_value_with_its_source_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("q.toml");
    fs::write(&file, "user_tickets_max = 7\njournal = 'postgres://q:s3cret@db.test/q'\n").unwrap();
    let mut command = quintet(["check-config", "--listen", "127.0.0.1:81", "--config"]);
    command.arg(&file).env("QUINTET_JWT_ISSUER", "https://id.example.org");
    let shown = outcome(command);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    let line = |name: &str| {
        let starts = format!("{name} = ");
        let line = shown.stdout.lines().find(|line| line.starts_with(&starts));
        line.unwrap_or_else(|| panic!("{name} is not in {}", shown.stdout)).to_owned()
    };
    assert!(line("listen").contains("\"127.0.0.1:81\"") && line("listen").ends_with("# flag --listen"));
    assert!(line("user_tickets_max").contains("= 7") && line("user_tickets_max").ends_with("q.toml"));
    assert!(line("jwt_issuer").ends_with("# variable QUINTET_JWT_ISSUER"));
    assert!(line("tickets_max").ends_with("# default"));
    assert!(!shown.stdout.contains("s3cret") && line("journal").contains("hidden"), "{}", shown.stdout);
    assert!(shown.stderr.contains("--jwt-secret"), "settings missing for production: {}", shown.stderr);
    // The output is a file with the same settings.
    fs::write(&file, &shown.stdout).unwrap();
    let again = run(&["check-config", "--config", file.to_str().unwrap()]);
    assert_eq!(again.code, 0, "{}", again.stderr);
}

#[test]
fn check_config_names_the_kind_of_the_key_and_refuses_one_that_serve_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "kR4vXyT0b9Zq2LmN7sWcE1hJ8uPfG6dA\n").unwrap();
    let secret = secret.to_str().unwrap();
    let public = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/ed25519.public.pem");
    let shown = run(&["check-config", "--jwt-secret", secret]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(shown.stdout.contains("# jwt_secret: HMAC secret, 32 bytes"), "{}", shown.stdout);
    assert!(!shown.stdout.contains("kR4vXy") && !shown.stderr.contains("kR4vXy"));
    let shown = run(&["check-config", "--jwt-public-key", public]);
    assert!(shown.stdout.contains("# jwt_public_key: Ed25519 public key, SHA-256 "), "{}", shown.stdout);
    let refused = run(&["check-config", "--jwt-secret", public]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("PEM"), "{}", refused.stderr);
}

#[test]
fn empty_variable_names_no_file_and_service_links_are_not_settings() {
    let mut command = quintet(["check-config"]);
    command.env("QUINTET_CONFIG", "").env("QUINTET_PORT", "tcp://10.0.0.7:8080");
    command.env("QUINTET_SERVICE_HOST", "10.0.0.7").env("QUINTET_PORT_8080_TCP_PROTO", "tcp");
    let shown = outcome(command);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(shown.stderr.contains("QUINTET_SERVICE_HOST"), "{}", shown.stderr);
}

#[test]
fn variable_can_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("q.toml");
    fs::write(&file, "user_tickets_max = 7\n").unwrap();
    let mut command = quintet(["check-config"]);
    command.env("QUINTET_CONFIG", &file);
    assert!(outcome(command).stdout.contains("user_tickets_max = 7"));
}
