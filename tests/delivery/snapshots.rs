//! The chart as rendered for each value set, against `snapshots/`. `UPDATE_SNAPSHOTS=1` writes them anew.

use std::fs;

use testkit::Result;

use crate::{
    helm::{CHART, Helm, VALUE_SETS, values},
    objects::parse,
    path, read,
};

/// Leaves out what is a copy of another file, and blank lines, in which the two Helms differ.
fn shorten(rendered: &str) -> String {
    let shorten_one = |document: &str| {
        let cut = if document.contains("\nkind: CustomResourceDefinition\n") {
            "\nspec:\n"
        } else if document.contains("\n  port-aws-operator.json: |") {
            "\n  port-aws-operator.json: |"
        } else {
            return document.to_owned();
        };
        document.split_once(cut).map_or(String::new(), |(head, _)| format!("{head}{cut}    # A copy.\n"))
    };
    let documents: Vec<_> = rendered.split("\n---\n").map(shorten_one).collect();
    let text = documents.join("\n---\n");
    text.lines().filter(|line| !line.trim().is_empty()).flat_map(|line| [line.trim_end(), "\n"]).collect()
}

fn assert_same(name: &str, found: &str, wanted: &str) {
    let lines = found.lines().zip(wanted.lines()).enumerate();
    if let Some((number, (found, wanted))) = lines.into_iter().find(|(_, (found, wanted))| found != wanted) {
        panic!("{name}:{}: rendered {found:?}, the snapshot has {wanted:?} (UPDATE_SNAPSHOTS=1?)", number + 1);
    }
    assert_eq!(found.lines().count(), wanted.lines().count(), "{name}: the snapshot has other lines at its end");
}

#[tokio::test]
async fn each_value_set_is_rendered_as_its_snapshot() -> Result<()> {
    let helm = Helm::new(4).await?;
    for set in VALUE_SETS {
        let name = format!("tests/delivery/snapshots/{set}.yaml");
        let found = shorten(&helm.template(set, &[]).await?);
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            fs::write(path(&name), &found).expect("the snapshot is written");
        }
        assert_same(&name, &found, &read(&name));
    }
    Ok(())
}

#[tokio::test]
async fn both_helms_render_the_same() -> Result<()> {
    let (three, four) = (Helm::new(3).await?, Helm::new(4).await?);
    for set in VALUE_SETS {
        let (three, four) = (three.template(set, &[]).await?, four.template(set, &[]).await?);
        assert_eq!(parse(&three), parse(&four), "{set}");
    }
    Ok(())
}

#[tokio::test]
async fn both_helms_lint_it_without_a_warning() -> Result<()> {
    for major in [3, 4] {
        for set in VALUE_SETS {
            let helm = Helm::new(major).await?;
            let said = helm.succeed(&["lint", "--strict", CHART, "--values", &values(set)]).await?;
            assert!(said.contains("0 chart(s) failed") && !said.contains("WARNING"), "helm{major} {set}: {said}");
        }
    }
    Ok(())
}

#[test]
fn every_file_of_values_is_a_value_set() {
    let folder = fs::read_dir(path(&format!("{CHART}/ci"))).expect("ci");
    let mut found: Vec<_> = folder.flatten().map(|it| it.file_name().to_string_lossy().into_owned()).collect();
    let mut wanted: Vec<_> = VALUE_SETS.iter().map(|set| format!("{set}-values.yaml")).collect();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
}
