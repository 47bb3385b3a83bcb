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
    LoadedSettings::load(given).expect_err("it must be refused").to_string()
}

#[test]
fn flags_override_variables_the_file_and_defaults() {
    let default = LoadedSettings::load(Given::default()).unwrap();
    assert_eq!(default.settings, Settings::default());
    assert_eq!(default.source("listen"), Source::Default);

    let mut given = file("listen = '127.0.0.1:1'");
    let loaded = LoadedSettings::load(given.clone()).unwrap();
    assert_eq!((loaded.settings.listen.port(), loaded.source("listen")), (1, Source::File("q.toml".into())));

    given.variables = variable("QUINTET_LISTEN", "127.0.0.1:2").variables;
    let loaded = LoadedSettings::load(given.clone()).unwrap();
    let source = Source::Variable("QUINTET_LISTEN".into());
    assert_eq!((loaded.settings.listen.port(), loaded.source("listen")), (2, source));

    given.flags = flag("listen", "127.0.0.1:3").flags;
    let loaded = LoadedSettings::load(given).unwrap();
    let source = Source::Flag("--listen".into());
    assert_eq!((loaded.settings.listen.port(), loaded.source("listen")), (3, source));
}

#[test]
fn unknown_setting_is_named_from_every_source() {
    assert_eq!(
        error(file("ticket_max = 5")),
        "file q.toml: there is no setting \"ticket_max\"; did you mean \"tickets_max\"?"
    );
    assert!(error(file("[gateway]\nlisten = 1")).contains("\"gateway\""));
    assert!(error(variable("QUINTET_LISTN", "x")).starts_with("variable QUINTET_LISTN: there is no setting"));
    assert!(error(flag("nonsense", "1")).contains("`quintet check-config` lists them all"));
    assert!(LoadedSettings::load(variable("OTHER_LISTEN", "x")).is_ok());
    assert!(LoadedSettings::load(variable("QUINTET_CONFIG", "read elsewhere")).is_ok());
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
    assert_eq!(
        LoadedSettings::load(file("tickets_max = 1_000")).unwrap().settings.gateway.tickets_max,
        1_000
    );
    assert_eq!(
        LoadedSettings::load(variable("QUINTET_TICKETS_MAX", "1_000")).unwrap().settings.gateway.tickets_max,
        1_000
    );
}

#[test]
fn auth_5_keys_come_over_https_or_from_loopback() {
    for good in
        ["https://id.example.org/jwks", "http://127.0.0.1:9/jwks", "http://localhost/jwks", "http://[::1]/j"]
    {
        assert!(LoadedSettings::load(flag("jwks_url", good)).is_ok(), "{good}");
    }
    for bad in
        ["http://id.example.org/jwks", "http://localhost.evil.test/", "file:///etc/keys", "id.example.org"]
    {
        assert!(error(flag("jwks_url", bad)).contains("jwks_url"), "{bad}");
    }
}

#[test]
fn auth_5_the_setting_that_guessed_the_kind_of_a_key_names_the_two_that_do_not() {
    for given in [file("jwt_key = 'k'"), variable("QUINTET_JWT_KEY", "k"), flag("jwt_key", "k")] {
        let why = error(given);
        assert!(why.contains("jwt_secret") && why.contains("jwt_public_key"), "{why}");
    }
}

#[test]
fn auth_6_urls_are_shown_without_their_secrets() {
    use super::value::without_secrets;
    for (url, shown) in [
        ("https://id.example.org/jwks.json", "https://id.example.org/jwks.json"),
        ("https://id.example.org", "https://id.example.org"),
        ("https://u:p@id.example.org/jwks", "https://hidden:hidden@id.example.org/jwks"),
        ("https://u@id.example.org/jwks", "https://hidden@id.example.org/jwks"),
        ("https://:p@id.example.org/jwks", "https://:hidden@id.example.org/jwks"),
        (
            "https://id.example.org/jwks?api_key=s3cret&v=2&flag#f",
            "https://id.example.org/jwks?api_key=hidden&v=hidden&hidden",
        ),
        (
            "postgres://q:s3cret@db.test/q?sslpassword=x",
            "postgres://hidden:hidden@db.test/q?sslpassword=hidden",
        ),
        ("sqlite:/var/lib/quintet", "sqlite:/var/lib/quintet"),
        ("sqlite:data", "sqlite:data"),
        ("host=db.test password=s3cret", "(hidden)"),
        ("u:s3cret@db.test", "(hidden)"),
    ] {
        assert_eq!(without_secrets(url), shown, "{url}");
    }
    let why = error(flag("jwks_url", "https://u:s3cret@[x/"));
    assert!(why.contains("jwks_url") && !why.contains("s3cret"), "{why}");
}

#[test]
fn variables_of_service_links_are_ignored_and_listed() {
    let loaded = LoadedSettings::load(variable("QUINTET_PORT", "tcp://10.0.0.7:8080")).unwrap();
    assert_eq!(
        (loaded.settings, loaded.service_links),
        (Settings::default(), vec!["QUINTET_PORT".to_owned()])
    );
    assert!(error(variable("QUINTET_PORT", "8080")).contains("there is no setting"));
}

#[test]
fn several_origins_fit_into_a_variable() {
    let loaded =
        LoadedSettings::load(variable("QUINTET_ALLOW_ORIGIN", "https://a.test, https://b.test")).unwrap();
    assert_eq!(loaded.settings.allow_origin, ["https://a.test", "https://b.test"]);
}

#[test]
fn auth_5_serve_lists_everything_that_is_missing() {
    let why = check::serve(&LoadedSettings::load(Given::default()).unwrap()).unwrap_err().to_string();
    for word in ["--jwt-secret", "--jwt-public-key", "--jwks-url", "--allow-origin"] {
        assert!(why.contains(word), "{why}");
    }
    let serve = |keys: &str| {
        let loaded =
            LoadedSettings::load(file(&format!("{keys}\nallow_origin = ['https://a.test']"))).unwrap();
        check::serve(&loaded).map_err(|error| error.to_string())
    };
    for enough in [
        "jwt_secret = 'k'",
        "jwt_public_key = 'k'",
        "jwks_url = 'https://a.test'\njwt_audience = 'quintet'",
        "jwks_url = 'https://a.test'\nany_audience = true",
    ] {
        assert_eq!(serve(enough), Ok(()), "{enough}");
    }
    for both in [
        "jwt_secret = 'k'\njwt_public_key = 'k'",
        "jwt_secret = 'k'\njwks_url = 'https://a.test'\njwt_audience = 'quintet'",
        "jwt_public_key = 'k'\njwks_url = 'https://a.test'\njwt_audience = 'quintet'",
        "jwt_public_key = 'k'\njwt_audience = 'quintet'\nany_audience = true",
    ] {
        assert!(serve(both).is_err_and(|why| why.contains("exclude each other")), "{both}");
    }
    let why = serve("jwks_url = 'https://a.test'").unwrap_err();
    assert!(why.contains("--jwt-audience") && why.contains("--any-audience"), "{why}");
}

#[test]
fn dev_stays_on_loopback_and_takes_no_key() {
    for (name, address) in [("listen", "0.0.0.0:8080"), ("admin_listen", "192.0.2.1:1"), ("listen", "[::]:0")]
    {
        let why = check::dev(&LoadedSettings::load(flag(name, address)).unwrap()).unwrap_err().to_string();
        assert!(why.contains(name) && why.contains("loopback"), "{why}");
    }
    assert!(check::dev(&LoadedSettings::load(flag("listen", "[::1]:0")).unwrap()).is_ok());
    for name in ["jwt_secret", "jwt_public_key", "jwt_audience"] {
        assert!(check::dev(&LoadedSettings::load(flag(name, "k")).unwrap()).is_err(), "{name}");
    }
}

#[test]
fn limits_that_contradict_each_other_are_refused() {
    let why = check::consistent(&LoadedSettings::load(file("ticket_ttl_ms_max = 1000")).unwrap())
        .unwrap_err()
        .to_string();
    assert_eq!(why, "file q.toml: ticket_ttl_ms_default: is 30000, over ticket_ttl_ms_max, which is 1000");
}

#[test]
fn shown_settings_parse_back_and_contain_no_password() {
    let given = file(
        "journal = 'postgres://q:s3cret@db.test/q'\njwt_secret = 'a\"b'\nallow_origin = ['https://a.test']\ntickets_max = 7",
    );
    let shown = LoadedSettings::load(given.clone()).unwrap().show();
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(shown.contains("# file q.toml") && shown.contains("# default"), "{shown}");
    let mut settings = LoadedSettings::load(file(&shown)).unwrap().settings;
    settings.journal = Some("postgres://q:s3cret@db.test/q".into());
    assert_eq!(settings, LoadedSettings::load(given).unwrap().settings);
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
        erasures_open_max: _,
    } = Limits::DEFAULT;
    let rows = table();
    for name in format!("{:?}", Limits::DEFAULT).split(['{', ',']).filter_map(|part| part.split_once(':')) {
        assert!(rows.iter().any(|row| row.name == name.0.trim()), "{} is no setting", name.0);
    }
}

#[test]
fn extra_agent_is_registered_by_its_name_only() {
    let loaded = LoadedSettings::load(variable("QUINTET_EXTRA_AGENTS", "rehearsal")).unwrap();
    assert_eq!(loaded.settings.extra_agents, ["rehearsal"]);
    assert!(LoadedSettings::load(Given::default()).unwrap().settings.extra_agents.is_empty());
    let refused = error(variable("QUINTET_EXTRA_AGENTS", "rehearsal,oracle"));
    assert!(refused.contains("oracle") && refused.contains("extra_agents"), "{refused}");
}

#[test]
fn agents_and_tool_servers_are_tables_of_the_file() {
    let text = "[[agents]]\nname = 'gpt'\nkind = 'model'\n[[agents]]\nname = 'py'\nkind = 'agui'\n[[mcp_servers]]\nname = 'files'\ncommand = ['x', 's3cret']";
    let loaded = LoadedSettings::load(file(text)).unwrap();
    let agents = &loaded.settings.agent_settings;
    assert_eq!((agents.agents.len(), agents.mcp_servers.len()), (2, 1));
    assert_eq!(agents.agents[0].0["name"], "gpt");
    let shown = loaded.show();
    let tables = "# [[agents]] \"gpt\": model\n# [[agents]] \"py\": agui\n# [[mcp_servers]] \"files\"\n";
    assert!(shown.ends_with(tables) && !shown.contains("s3cret"), "{shown}");
    for bad in ["agents = 1", "agents = ['x']", "[agents]\nname = 'x'", "mcp_servers = [[]]"] {
        assert!(error(file(bad)).contains("is not an array of tables; write [["), "{bad}");
    }
    assert!(error(variable("QUINTET_AGENTS", "x")).contains("there is no setting"));
}

#[test]
fn auth_6_a_key_is_no_flag_and_is_not_shown() {
    let error = error(flag("llm_key", "sk-1"));
    assert!(error.contains("visible to every user") && !error.contains("sk-1"), "{error}");
    let loaded = LoadedSettings::load(variable("QUINTET_LLM_KEY", "sk-1")).unwrap();
    assert!(!loaded.show().contains("sk-1") && !format!("{loaded:?}").contains("sk-1"));
    assert!(loaded.show().contains("llm_key = \"(hidden)\""));
}

#[test]
fn settings_of_a_model_belong_together() {
    let check = |text: &str| check::consistent(&LoadedSettings::load(file(text)).unwrap());
    let both = "llm_url = 'http://127.0.0.1:11434/v1'\nllm_model = 'qwen3'\n";
    assert!(check(both).is_ok());
    assert!(check("llm_model = 'qwen3'").unwrap_err().to_string().contains("needs llm_url"));
    assert!(check("llm_url = 'http://x/v1'").unwrap_err().to_string().contains("needs llm_model"));
    assert!(check("llm_api = 'anthropic'").unwrap_err().to_string().contains("need llm_url"));
    let keys = format!("{both}llm_key = 'a'\nllm_key_file = 'b'");
    assert!(check(&keys).unwrap_err().to_string().contains("exclude each other"));
    for bad in ["llm_url = 'x'", "llm_url = 'file:///x'", "llm_api = 'bard'", "upstream_proxy = 'ftp://x'"] {
        assert!(error(file(bad)).contains("needed") || error(file(bad)).contains("URL"), "{bad}");
    }
}
