//! The units of systemd.

use super::{files, succeeds, tool};

/// The exposure of a unit on the scale of `systemd-analyze security`, from 0 (best) to 10.
const EXPOSURE_MAX: f64 = 2.0;

#[test]
fn systemd_accepts_the_units_and_finds_little_exposure() {
    let Some(analyze) = tool("SYSTEMD_ANALYZE") else { return };
    let folder = tempfile::tempdir().unwrap();
    // The programs that the units start are not installed here.
    for name in ["quintet.service", "quintet-backup.service", "quintet-backup.timer"] {
        let unit = files::read(&format!("systemd/{name}"));
        let unit = unit.replace("/usr/bin/quintet-backup ", "/bin/true ");
        let unit = unit.replace("/usr/bin/quintet ", "/bin/true ");
        std::fs::write(folder.path().join(name), unit).unwrap();
    }
    let unit = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let verify = |unit: &str| succeeds(&analyze, &["verify", "--man=no", "--recursive-errors=no", unit]);
    for name in ["quintet.service", "quintet-backup.service", "quintet-backup.timer"] {
        assert_eq!(verify(&unit(name)).unwrap(), "", "{name}");
    }
    let exposure = |name: &str| {
        let text = succeeds(&analyze, &["security", "--offline=true", "--no-pager", &unit(name)]).unwrap();
        let last = text.lines().find(|line| line.contains("Overall exposure level")).expect("a result");
        let value = last.split(": ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a number");
        value.parse::<f64>().unwrap()
    };
    for name in ["quintet.service", "quintet-backup.service"] {
        assert!(exposure(name) < EXPOSURE_MAX, "{name}: {}", exposure(name));
    }
    let bare = "[Service]\nExecStart=/bin/true\nProtectSystems=strict\n";
    std::fs::write(folder.path().join("bare.service"), bare).unwrap();
    assert!(
        verify(&unit("bare.service")).unwrap_or_else(|text| text).contains("ProtectSystems"),
        "an unknown setting is found"
    );
    assert!(exposure("bare.service") > 5.0);
}
