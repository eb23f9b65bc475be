//! `talkoot show`: everything about one model: its card, what it takes in each
//! format, where its files are, and who serves which layers.
//!
//! A model of this machine is opened and, if it never was, hashed. One that only
//! others have is shown by what the running node knows of it.

mod view;

use super::output;
use super::progress::Progress;
use crate::api::{ModelsView, PeersView, StatusView};
use crate::cli::ShowArgs;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::machine;
use crate::models::store::{Found, Store};
use crate::models::{self, LocalModel, Use};
use std::path::{Path, PathBuf};
use talkoot_inference::LoadEvent;
use view::{Files, Server, ShowView};

/// Prints the page.
///
/// # Errors
/// When there is no such model here or in the network, or its files are wrong.
pub fn run(args: &ShowArgs, home: &Home) -> Result<(), Failure> {
    let store = Store::new(home, &args.directories.model_dirs);
    let network = Network::ask(home)?;
    let mut view = match find(&store, &args.model)? {
        Some((path, files)) => {
            let model = open(path.as_deref(), home)?;
            ShowView::of_local(&model, files, &super::models::prices(home)?)
        }
        None => elsewhere(&args.model, network.as_ref())?,
    };
    if let Some(network) = &network {
        view.serving = Some(network.servers(&view.ids()));
    }
    if args.json {
        return output::print_json(&view);
    }
    output::print(&view.page())
}

/// What is opened, and where its files are.
type Here = (Option<PathBuf>, Files);

/// The model on this machine; a path is meant before a name is.
fn find(store: &Store, wanted: &str) -> Result<Option<Here>, Failure> {
    let path = Path::new(wanted);
    if path.exists() {
        let files = Files::of_path("path", path, models::shelf::bytes_at(path));
        return Ok(Some((Some(path.to_owned()), files)));
    }
    Ok(store.find(wanted)?.map(|found| match found {
        Found::Demo => (None, Files::embedded()),
        Found::Shelved(model) => {
            let files = Files::of_path("read-only", &model.path, model.bytes);
            (Some(model.path), files)
        }
        Found::Imported { directory, record } => {
            let files = Files::of_record(&directory, &record);
            (Some(directory), files)
        }
    }))
}

fn open(path: Option<&Path>, home: &Home) -> Result<LocalModel, Failure> {
    let progress = Progress::new("hashing");
    let how = Use {
        cache: Some(&home.cache),
        threads: machine::threads(),
        observer: &|event| {
            if let LoadEvent::Hashed {
                done_bytes,
                total_bytes,
            } = event
            {
                progress.at(done_bytes, total_bytes);
            }
        },
        ..Use::default()
    };
    Ok(LocalModel::open(path, &how)?)
}

/// A model that only others have.
fn elsewhere(wanted: &str, network: Option<&Network>) -> Result<ShowView, Failure> {
    let models = network.map(|network| &network.models.models[..]);
    let meant = |model: &&crate::api::ModelView| {
        model.name == wanted || (wanted.len() >= 4 && model.id.starts_with(wanted))
    };
    let mut meant = models.unwrap_or_default().iter().filter(meant);
    match (meant.next(), meant.next()) {
        (Some(model), None) => Ok(ShowView::of_network(model)),
        (Some(_), Some(_)) => {
            let message = format!("{wanted:?} means several models");
            Err(Failure::new(Exit::Usage, message).hint("give the id (`talkoot models`)"))
        }
        (None, _) => {
            let place = match network {
                Some(_) => "here and in the network",
                None => "here, and no node runs that could know others",
            };
            let message = format!("no model {wanted:?} is known {place}");
            Err(Failure::new(Exit::NotFound, message).hint("`talkoot models` lists what is known"))
        }
    }
}

/// What the running node knows.
#[derive(Debug)]
struct Network {
    models: ModelsView,
    status: StatusView,
    peers: PeersView,
}

impl Network {
    /// Asks the node of this home; `None` when none runs.
    fn ask(home: &Home) -> Result<Option<Self>, Failure> {
        let asked = Client::connect(home).and_then(|client| {
            Ok(Self {
                models: client.get("models")?,
                status: client.get("status")?,
                peers: client.get("peers")?,
            })
        });
        match asked {
            Ok(network) => Ok(Some(network)),
            Err(failure) if failure.exit == Exit::NotRunning => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Who serves one of these ids, this node first.
    fn servers(&self, ids: &[String]) -> Vec<Server> {
        let ours = self.status.serving.iter();
        let ours = ours.map(|served| (&self.status.wallet, served));
        let others = self.peers.peers.iter();
        let others = others.flat_map(|peer| {
            let wallet = &peer.wallet;
            peer.serving.iter().map(move |served| (wallet, served))
        });
        ours.chain(others)
            .filter(|(_, served)| ids.contains(&served.model))
            .map(|(wallet, served)| Server {
                peer: wallet.clone(),
                is_this_node: *wallet == self.status.wallet,
                model: served.model.clone(),
                name: served.name.clone(),
                layers: served.layers,
                layers_per_second: served.layers_per_second,
                arithmetic: served.arithmetic.clone(),
            })
            .collect()
    }
}
