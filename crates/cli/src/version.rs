//! Version: of this program, and of the master that it speaks with.

use serde_json::json;

use crate::args::ListArgs;
use crate::client::ClientError;
use crate::client::http::Connection;
use crate::client::master::Master;
use crate::client::state;

/// Prints both versions.
pub(crate) async fn print(args: &ListArgs, master: &Master) -> Result<u8, ClientError> {
    let own = env!("CARGO_PKG_VERSION");
    let mut connection = Connection::to(master).await?;
    let state = state::fetch(&mut connection).await?;
    let leader = connection.address();
    if args.json {
        let versions = json!({
            "tepui": own,
            "master": {
                "address": leader.to_string(),
                "version": state.version,
                "id": state.id,
                "cluster": state.cluster,
            },
        });
        crate::print(&format!("{versions:#}\n"));
    } else {
        crate::print(&format!(
            "tepui   {own}\nmaster  {} at {leader}\n",
            state.version
        ));
    }
    Ok(0)
}
