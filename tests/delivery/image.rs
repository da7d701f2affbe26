//! The image, as `hack/image.sh` makes it; and the operator run from nothing but its root folder.
//!
//! It needs buildah, and root for chroot. Where they are missing the tests say so and pass, except where CI is set.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use serde_json::Value;
use testkit::{Error, Result, control_plane::tools_folder, fixture::Scenario};
use tokio::process::Command;

use crate::path;

const OPERATOR: &str = env!("CARGO_BIN_EXE_port-aws-operator");
const PROGRAM: &str = "usr/local/bin/port-aws-operator";

/// A folder of the test's own.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("image-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn run(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.kill_on_drop(true).output().await;
    let output = output.map_err(|error| Error::Setup(format!("{shown}: {error}")))?;
    assert!(output.status.success(), "{shown}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What is missing to build and run it.
fn missing() -> Option<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    // Who this process is: nobody but root may chroot.
    let root = fs::metadata("/proc/self").is_ok_and(|data| data.uid() == 0);
    match (has("buildah"), has("chroot") && root) {
        (true, true) => None,
        (false, _) => Some("buildah"),
        (_, false) => Some("root, or chroot"),
    }
}

// The test runner shows it with the test's name if it is asked to.
#[allow(clippy::print_stdout)]
fn skips(test: &str) -> bool {
    let Some(what) = missing() else { return false };
    assert!(std::env::var_os("CI").is_none(), "{test} needs {what}");
    println!("{test} is skipped: it needs {what}");
    true
}

/// The archive, unpacked: configuration, and the root folder that its layers make.
async fn build(folder: &Folder, name: &str) -> Result<(Value, PathBuf)> {
    let (archive, layout, root) =
        (folder.join(&format!("{name}.tar")), folder.join(name), folder.join(&format!("{name}-root")));
    run(Command::new(path("hack/image.sh")).arg(OPERATOR).arg(&archive)).await?;
    for unpacked in [&layout, &root] {
        fs::create_dir_all(unpacked).expect("a folder");
    }
    run(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&layout)).await?;
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().expect("a digest");
        layout.join("blobs").join(digest.replace(':', "/"))
    };
    let read = |file: PathBuf| serde_json::from_slice::<Value>(&fs::read(file).expect("a blob")).expect("JSON");
    let index = read(layout.join("index.json"));
    let manifest = read(blob(&index["manifests"][0]));
    for layer in manifest["layers"].as_array().into_iter().flatten() {
        run(Command::new("tar").arg("-xpf").arg(blob(layer)).arg("-C").arg(&root)).await?;
    }
    Ok((read(blob(&manifest["config"])), root))
}

/// Every file and folder of the image, with its mode.
fn files(root: &Path) -> BTreeMap<PathBuf, fs::Metadata> {
    let mut all = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let (file, data) = (entry.path(), entry.metadata().expect("metadata"));
            if data.is_dir() {
                folders.push(file.clone());
            }
            all.insert(file.strip_prefix(root).expect("below the root").to_owned(), data);
        }
    }
    all
}

#[tokio::test]
async fn the_image_says_what_it_is_and_has_nothing_that_its_user_may_write() -> Result<()> {
    if skips("the_image_says_what_it_is") {
        return Ok(());
    }
    let folder = Folder::new("content");
    let (image, root) = build(&folder, "one").await?;
    let config = &image["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], serde_json::json!([format!("/{PROGRAM}")]));
    assert_eq!(config["Labels"]["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));
    for label in ["title", "description", "licenses", "revision", "created"] {
        let value = config["Labels"][format!("org.opencontainers.image.{label}")].as_str().unwrap_or_default();
        assert!(!value.is_empty() && value != "unknown", "{label}: {config}");
    }
    let files = files(&root);
    for (file, data) in &files {
        let mode = data.permissions().mode();
        assert_eq!((data.uid(), data.gid(), mode & 0o6022), (0, 0, 0), "{}: {mode:o}", file.display());
    }
    let programs: Vec<_> = files.keys().filter(|file| file.components().any(|it| it.as_os_str() == "bin")).collect();
    assert!(programs.iter().all(|file| Path::new(PROGRAM).starts_with(file)), "{programs:?}");
    assert!(files.contains_key(Path::new("etc/ssl/certs/ca-certificates.crt")));

    let (again, _) = build(&folder, "two").await?;
    assert_eq!(again["rootfs"], image["rootfs"], "the same binary gives the same image");
    Ok(())
}

/// A program that runs the operator as the image does: in its root folder, and as its user.
async fn in_image(folder: &Folder, root: &Path) -> Result<String> {
    let kubectl = tools_folder().await?.join("kubectl");
    let script = format!(
        "#!/bin/sh\n\
         set -e\n\
         if [ -n \"$KUBECONFIG\" ]; then\n\
         '{kubectl}' --kubeconfig \"$KUBECONFIG\" config view --raw --flatten >'{root}/kubeconfig'\n\
         chmod 644 '{root}/kubeconfig'\n\
         export KUBECONFIG=/kubeconfig\n\
         fi\n\
         exec chroot --userspec=65532:65532 '{root}' /{PROGRAM} \"$@\"\n",
        kubectl = kubectl.display(),
        root = root.display(),
    );
    let program = folder.join("operator");
    fs::write(&program, script).expect("the program");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("its mode");
    Ok(program.display().to_string())
}

#[tokio::test]
async fn the_operator_works_from_nothing_but_the_image() -> Result<()> {
    if skips("the_operator_works_from_nothing_but_the_image") {
        return Ok(());
    }
    let folder = Folder::new("run");
    let (_, root) = build(&folder, "image").await?;
    let program = in_image(&folder, &root).await?;
    let version = run(Command::new(&program).arg("--version")).await?;
    assert_eq!(version.trim(), concat!("port-aws-operator ", env!("CARGO_PKG_VERSION")));

    let it = Scenario::start("image", &program).await?;
    it.integration("one", |_| {}).await?;
    it.ready("one").await?;
    let (status, text) = it.operator()?.probe("/readyz").await?;
    assert_eq!(status, 200, "{text}");
    it.finish().await
}
