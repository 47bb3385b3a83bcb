use super::*;

fn file(text: &str) -> Given {
    Given { file: Some((PathBuf::from("q.toml"), text.to_owned())), ..Given::default() }
}

fn variable(name: &str, value: &str) -> Given {
    Given { variables: vec![(name.to_owned(), value.to_owned())], ..Given::default() }
}

fn flag(name: &str, value: &str) -> Given {
    let flag = format!("--{}", name.replace('_', "-"));
    Given { flags: vec![(flag, name.to_owned(), Raw::Text(value.to_owned()))], ..Given::default() }
}

fn error(given: Given) -> String {
    Loaded::load(given).expect_err("it must be refused").to_string()
}

#[test]
fn a_flag_is_before_a_variable_before_the_file_before_the_default() {
    let default = Loaded::load(Given::default()).unwrap();
    assert_eq!(default.settings, Settings::default());
    assert_eq!(default.source("listen"), Source::Default);

    let mut given = file("listen = '127.0.0.1:1'");
    let loaded = Loaded::load(given.clone()).unwrap();
    assert_eq!((loaded.settings.listen.port(), loaded.source("listen")), (1, Source::File("q.toml".into())));

    given.variables = variable("QUINTET_LISTEN", "127.0.0.1:2").variables;
    let loaded = Loaded::load(given.clone()).unwrap();
    let source = Source::Variable("QUINTET_LISTEN".into());
    assert_eq!((loaded.settings.listen.port(), loaded.source("listen")), (2, source));

    given.flags = flag("listen", "127.0.0.1:3").flags;
    let loaded = Loaded::load(given).unwrap();
    let source = Source::Flag("--listen".into());
    assert_eq!((loaded.settings.listen.port(), loaded.source("listen")), (3, source));
}

#[test]
fn a_setting_that_is_not_known_is_named_wherever_it_stands() {
    assert_eq!(
        error(file("ticket_max = 5")),
        "file q.toml: there is no setting \"ticket_max\"; did you mean \"tickets_max\"?"
    );
    assert!(error(file("[gateway]\nlisten = 1")).contains("\"gateway\""));
    assert!(error(variable("QUINTET_LISTN", "x")).starts_with("variable QUINTET_LISTN: there is no setting"));
    assert!(error(flag("nonsense", "1")).contains("`quintet check-config` lists them all"));
    assert!(Loaded::load(variable("OTHER_LISTEN", "x")).is_ok());
    assert!(Loaded::load(variable("QUINTET_CONFIG", "read elsewhere")).is_ok());
}

#[test]
fn a_value_out_of_range_or_of_a_wrong_kind_is_named_with_its_range() {
    let why = error(file("tickets_max = 0"));
    assert_eq!(why, "file q.toml: tickets_max: is 0; a whole number from 1 to 10000000 is needed");
    for bad in ["-1", "1.5", "'x'", "[]", "true", "''", "99999999999", "1979-05-27"] {
        assert!(error(file(&format!("tickets_max = {bad}"))).contains("tickets_max"), "{bad}");
    }
    assert!(error(variable("QUINTET_LISTEN", "localhost")).contains("an IP address and a port"));
    assert!(error(file("log = 'quintet=loud'")).contains("log: "));
    assert!(error(file("log_format = 'xml'")).contains("auto, text or json"));
    assert!(error(file("allow_origin = ['*']")).contains("not an origin"));
    assert!(error(file("allow_origin = [1]")).contains("something else than text"));
    assert!(error(file("listen = ")).starts_with("file q.toml: "));
    assert!(error(file("listen = 'a'\nlisten = 'b'")).contains("duplicate key"));
    assert_eq!(Loaded::load(file("tickets_max = 1_000")).unwrap().settings.gateway.tickets_max, 1_000);
    assert_eq!(
        Loaded::load(variable("QUINTET_TICKETS_MAX", "1_000")).unwrap().settings.gateway.tickets_max,
        1_000
    );
}

#[test]
fn auth_5_keys_come_over_https_or_from_loopback() {
    for good in
        ["https://id.example.org/jwks", "http://127.0.0.1:9/jwks", "http://localhost/jwks", "http://[::1]/j"]
    {
        assert!(Loaded::load(flag("jwks_url", good)).is_ok(), "{good}");
    }
    for bad in
        ["http://id.example.org/jwks", "http://localhost.evil.test/", "file:///etc/keys", "id.example.org"]
    {
        assert!(error(flag("jwks_url", bad)).contains("jwks_url"), "{bad}");
    }
}

#[test]
fn several_origins_fit_into_a_variable() {
    let loaded = Loaded::load(variable("QUINTET_ALLOW_ORIGIN", "https://a.test, https://b.test")).unwrap();
    assert_eq!(loaded.settings.allow_origin, ["https://a.test", "https://b.test"]);
}

#[test]
fn auth_5_serve_says_everything_that_is_missing_and_does_not_guess() {
    let why = check::serve(&Loaded::load(Given::default()).unwrap()).unwrap_err().to_string();
    assert!(
        why.contains("--jwt-key") && why.contains("--jwks-url") && why.contains("--allow-origin"),
        "{why}"
    );
    let both = file("jwt_key = 'k'\njwks_url = 'https://a.test'\nallow_origin = ['https://a.test']");
    assert!(check::serve(&Loaded::load(both).unwrap()).is_err());
    let enough = file("jwt_key = 'k'\nallow_origin = ['https://a.test']");
    assert!(check::serve(&Loaded::load(enough).unwrap()).is_ok());
}

#[test]
fn dev_stays_on_loopback_and_takes_no_key() {
    for (name, address) in [("listen", "0.0.0.0:8080"), ("admin_listen", "192.0.2.1:1"), ("listen", "[::]:0")]
    {
        let why = check::dev(&Loaded::load(flag(name, address)).unwrap()).unwrap_err().to_string();
        assert!(why.contains(name) && why.contains("loopback"), "{why}");
    }
    assert!(check::dev(&Loaded::load(flag("listen", "[::1]:0")).unwrap()).is_ok());
    assert!(check::dev(&Loaded::load(flag("jwt_key", "k")).unwrap()).is_err());
}

#[test]
fn limits_that_contradict_each_other_are_refused() {
    let why =
        check::consistent(&Loaded::load(file("ticket_ttl_ms_max = 1000")).unwrap()).unwrap_err().to_string();
    assert_eq!(why, "file q.toml: ticket_ttl_ms_default: is 30000, over ticket_ttl_ms_max, which is 1000");
}

#[test]
fn what_is_shown_is_a_file_that_says_the_same_with_no_password_in_it() {
    let given = file(
        "journal = 'postgres://q:s3cret@db.test/q'\njwt_key = 'a\"b'\nallow_origin = ['https://a.test']\ntickets_max = 7",
    );
    let shown = Loaded::load(given.clone()).unwrap().show();
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(shown.contains("# file q.toml") && shown.contains("# default"), "{shown}");
    let mut settings = Loaded::load(file(&shown)).unwrap().settings;
    settings.journal = Some("postgres://q:s3cret@db.test/q".into());
    assert_eq!(settings, Loaded::load(given).unwrap().settings);
}

#[test]
fn each_limit_has_a_name_of_its_own_a_unit_or_a_count_and_a_default_in_its_range() {
    let mut names = std::collections::BTreeSet::new();
    let mut settings = Settings::default();
    for setting in table() {
        assert!(names.insert(setting.name), "{} twice", setting.name);
        assert!(setting.doc.ends_with('.'), "{}: {}", setting.name, setting.doc);
        if let Some(value) = (setting.read)(&settings) {
            let value: toml::Table = format!("value = {value}").parse().unwrap();
            (setting.write)(&mut settings, Raw::from_toml(&value["value"]))
                .unwrap_or_else(|why| panic!("{}: {why}", setting.name));
        }
    }
    assert_eq!(settings, Settings::default());
}

#[test]
fn every_limit_of_the_kernel_can_be_set() {
    let Limits {
        text_bytes_max: _,
        delta_bytes_max: _,
        parameters_bytes_max: _,
        results_bytes_max: _,
        answer_bytes_max: _,
        open_calls_max: _,
        run_calls_max: _,
        run_events_max: _,
        open_runs_max: _,
        queued_messages_max: _,
        recent_messages_max: _,
        run_resumes_max: _,
        run_resumes_total_max: _,
    } = Limits::DEFAULT;
    let rows = table();
    for name in format!("{:?}", Limits::DEFAULT).split(['{', ',']).filter_map(|part| part.split_once(':')) {
        assert!(rows.iter().any(|row| row.name == name.0.trim()), "{} is no setting", name.0);
    }
}

#[test]
fn an_extra_agent_is_there_by_its_name_only() {
    let loaded = Loaded::load(variable("QUINTET_EXTRA_AGENTS", "rehearsal")).unwrap();
    assert_eq!(loaded.settings.extra_agents, ["rehearsal"]);
    assert!(Loaded::load(Given::default()).unwrap().settings.extra_agents.is_empty());
    let refused = error(variable("QUINTET_EXTRA_AGENTS", "rehearsal,oracle"));
    assert!(refused.contains("oracle") && refused.contains("extra_agents"), "{refused}");
}
