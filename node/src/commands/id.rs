//! `talkoot id`: who this node is; reads the home only.

use super::output;
use crate::api::{IdentityView, SCHEMA};
use crate::cli::ReadArgs;
use crate::exit::Failure;
use crate::home::Home;
use crate::swarm::identity::peer_id_of;

/// Prints wallet, peer id and network.
///
/// # Errors
/// When there is no identity yet, or the home is damaged.
pub fn run(args: &ReadArgs, home: &Home) -> Result<(), Failure> {
    let wallet = home.existing_identity()?.wallet();
    let genesis = home.current_genesis()?;
    let view = IdentityView {
        schema: SCHEMA,
        wallet: wallet.to_string(),
        peer_id: peer_id_of(&wallet).map_or_else(String::new, |peer| peer.to_string()),
        network: genesis.as_ref().map(|genesis| genesis.name.clone()),
        network_id: genesis.as_ref().map(|genesis| genesis.id().to_string()),
        data: home.data.display().to_string(),
    };
    if args.json {
        return output::print_json(&view);
    }
    let network = match (&view.network, &view.network_id) {
        (Some(name), Some(id)) => format!("{name} ({id})"),
        _ => "none yet".to_owned(),
    };
    output::print(&format!(
        "wallet   {}\npeer id  {}\nnetwork  {network}\ndata     {}\n",
        view.wallet, view.peer_id, view.data
    ))
}
