//! A real Kubernetes control plane: etcd, kube-apiserver and, if asked, kube-controller-manager.
//!
//! State is thrown away, so everything ends by SIGKILL: on SIGTERM the API server would wait a
//! minute for open watches.

mod audit;
mod files;
mod kubectl;
mod settings;
mod tools;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::Value;

pub use audit::Write;
pub use tools::{helm_folder, tools_folder};

use crate::folder::Folder;
use crate::ports::free_port;
use crate::process::{Process, Signal};
use crate::wait::eventually;
use crate::{Error, Result};
use settings::Settings;

const READY_DEADLINE: Duration = Duration::from_mins(1);
const ATTEMPTS: usize = 3;
const TOKEN_SECONDS: i64 = 8 * 3600;

/// How to start a control plane.
#[derive(Debug, Clone, Default)]
pub struct StartOptions {
    /// Folder with the binaries; `None` finds or builds it, see [`tools_folder`].
    pub tools: Option<PathBuf>,
    /// Whether namespaces are to be deleted for good, owner references collected, default service
    /// accounts made, and Deployments brought as far as Pods, which no node runs.
    pub controller_manager: bool,
    /// Whether to keep an audit log, for [`ControlPlane::writes_by`].
    pub audit: bool,
    /// Folder for all state, kept at the end; `None` is a temporary one.
    pub data_dir: Option<PathBuf>,
}

/// A running control plane; dropping it kills its processes and removes its temporary folder.
#[derive(Debug)]
pub struct ControlPlane {
    // Order matters: fields are dropped from the first to the last, the folder at the end.
    controller_manager: Option<Process>,
    api_server: Mutex<Option<Process>>,
    etcd: Process,
    settings: Settings,
    config: Config,
}

impl ControlPlane {
    /// Starts a control plane and waits until it is ready.
    pub async fn start(options: StartOptions) -> Result<Self> {
        crate::install_crypto_provider();
        let tools = match &options.tools {
            Some(folder) => folder.clone(),
            None => tools_folder().await?,
        };
        let mut attempt = 1;
        loop {
            match Self::start_once(&options, tools.clone()).await {
                // Between our look at a port and its use, another process may take it.
                Err(error) if is_port_clash(&error) && attempt < ATTEMPTS => attempt += 1,
                outcome => return outcome,
            }
        }
    }

    async fn start_once(options: &StartOptions, tools: PathBuf) -> Result<Self> {
        let folder = Folder::new(options.data_dir.as_deref())?;
        let audit = if options.audit { Some(audit::file(&folder)?) } else { None };
        let settings = Settings {
            tokens: files::prepare(&folder)?,
            folder,
            tools,
            etcd_port: free_port()?,
            peer_port: free_port()?,
            api_port: free_port()?,
            audit,
        };
        let etcd = settings.spawn("etcd", settings.etcd_args())?;
        settings.wait_for_etcd(&etcd).await?;
        let api_server = settings.spawn("kube-apiserver", settings.api_server_args())?;
        let config = settings.admin_config(&api_server).await?;
        wait_until_ready(&api_server, &config).await?;
        let controller_manager = if options.controller_manager {
            let args = settings.controller_manager_args()?;
            Some(settings.spawn("kube-controller-manager", args)?)
        } else {
            None
        };
        Ok(Self { controller_manager, api_server: Mutex::new(Some(api_server)), etcd, settings, config })
    }

    /// A new client with all rights.
    ///
    /// A client belongs to the async runtime that it was made in: make one in each test.
    pub fn admin_client(&self) -> Result<Client> {
        Ok(Client::try_from(self.config.clone())?)
    }

    /// A new client for one of the kubeconfig files.
    pub async fn client_for(&self, kubeconfig: &Path) -> Result<Client> {
        Ok(Client::try_from(read_config(kubeconfig).await?)?)
    }

    /// A kubeconfig file with all rights.
    #[must_use]
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.settings.folder.join("admin.kubeconfig")
    }

    /// A kubeconfig file that acts as an existing service account, with a token for eight hours.
    pub async fn kubeconfig_for_service_account(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let accounts = Api::<ServiceAccount>::namespaced(self.admin_client()?, namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() },
            ..TokenRequest::default()
        };
        let answer = accounts.create_token_request(name, &PostParams::default(), &request).await?;
        let token = answer.status.map(|status| status.token).unwrap_or_default();
        let file = format!("{namespace}.{name}.kubeconfig");
        let server = self.server_url();
        self.settings.folder.write_kubeconfig(&file, &server, name, &token)
    }

    /// The API server's address.
    #[must_use]
    pub fn server_url(&self) -> String {
        self.settings.server_url()
    }

    /// The folder of all state and logs (`etcd.log`, `kube-apiserver.log` and so on).
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.settings.folder.path()
    }

    /// The folder of the binaries.
    #[must_use]
    pub fn tools(&self) -> &Path {
        &self.settings.tools
    }

    /// Process ids of what runs now.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let api_server = self.lock_api_server();
        let all = [Some(&self.etcd), api_server.as_ref(), self.controller_manager.as_ref()];
        let running = all.into_iter().flatten().filter(|it| it.is_running());
        running.map(Process::pid).collect()
    }

    /// Kills the API server: every request and watch breaks. etcd keeps the objects.
    pub async fn stop_api_server(&self) -> Result<()> {
        let process = self.lock_api_server().take();
        match process {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Sends a signal to the API server. Stopped by STOP it takes connections and never answers, until CONT.
    pub fn signal_api_server(&self, signal: Signal) -> Result<()> {
        let process = self.lock_api_server();
        let process = process.as_ref().ok_or_else(|| Error::Setup("no API server runs".to_owned()))?;
        process.signal(signal)
    }

    /// Starts the API server again, on the same port and with the same objects, and waits until it
    /// is ready. Does nothing if it runs.
    pub async fn start_api_server(&self) -> Result<()> {
        if self.lock_api_server().as_ref().is_some_and(Process::is_running) {
            return Ok(());
        }
        let args = self.settings.api_server_args();
        let process = self.settings.spawn("kube-apiserver", args)?;
        wait_until_ready(&process, &self.config).await?;
        *self.lock_api_server() = Some(process);
        Ok(())
    }

    /// Kills the API server and starts it again.
    pub async fn restart_api_server(&self) -> Result<()> {
        self.stop_api_server().await?;
        self.start_api_server().await
    }

    /// Kills everything and waits for the end. Dropping does the same.
    pub async fn kill(self) -> Result<()> {
        if let Some(process) = &self.controller_manager {
            process.kill().await?;
        }
        self.stop_api_server().await?;
        self.etcd.kill().await
    }

    /// All events of the audit log, the oldest first.
    ///
    /// An event is written when its answer is complete, which can be a moment after a client has
    /// read that answer.
    pub fn audit_events(&self) -> Result<Vec<Value>> {
        let missing = || Error::Setup("the control plane was started without an audit log".to_owned());
        audit::read(self.settings.audit.as_ref().ok_or_else(missing)?)
    }

    /// The write requests that `user` began since then, refused ones included.
    ///
    /// The user of a service account is `system:serviceaccount:<namespace>:<name>`.
    pub fn writes_by(&self, user: &str, since: SystemTime) -> Result<Vec<Write>> {
        audit::writes(&self.audit_events()?, user, since)
    }

    fn lock_api_server(&self) -> std::sync::MutexGuard<'_, Option<Process>> {
        self.api_server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read_config(kubeconfig: &Path) -> Result<Config> {
    let failed = |error| Error::Setup(format!("{}: {error}", kubeconfig.display()));
    let parsed = Kubeconfig::read_from(kubeconfig).map_err(failed)?;
    Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await.map_err(failed)
}

async fn wait_until_ready(api_server: &Process, config: &Config) -> Result<()> {
    let client = Client::try_from(config.clone())?;
    let namespaces = Api::<Namespace>::all(client.clone());
    eventually("the API server to be ready", READY_DEADLINE, async || {
        if let Err(error) = api_server.check_running() {
            return Ok(Some(Err(error)));
        }
        let request =
            http::Request::get("/readyz").body(Vec::new()).map_err(|error| Error::Setup(error.to_string()))?;
        let answer = client.request_text(request).await?;
        if answer != "ok" {
            return Err(Error::not_yet(answer));
        }
        // Made by the server itself, and not part of being ready.
        for name in ["default", "kube-system"] {
            namespaces.get(name).await?;
        }
        Ok(Some(Ok(())))
    })
    .await?
}

fn is_port_clash(error: &Error) -> bool {
    matches!(error, Error::Process { log, .. } if log.contains("address already in use"))
}
