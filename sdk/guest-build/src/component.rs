//! From a core module to a component.

use anyhow::{Context, Result, bail, ensure};
use wit_component::{ComponentEncoder, DecodedWasm};

/// Wraps a guest's core module, whose custom section says which world it is of, into a component.
pub fn componentize(module: &[u8]) -> Result<Vec<u8>> {
    let component = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .context("the module carries no readable contract")?
        .encode()
        .context("the module does not fit the contract it names")?;
    // A module that knows of no contract at all becomes an empty component, which is never what its author meant.
    let (_, exports) = interfaces_of(&component)?;
    ensure!(!exports.is_empty(), "it exports nothing: call wit_bindgen::generate! for a world, and its export!");
    Ok(component)
}

/// The interfaces a component imports and exports, by full name.
pub fn interfaces_of(component: &[u8]) -> Result<(Vec<String>, Vec<String>)> {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(component).context("not a component")? else {
        bail!("a WIT package, not a component");
    };
    let world = &resolve.worlds[world];
    let imports = world.imports.keys().map(|key| resolve.name_world_key(key)).collect();
    let exports = world.exports.keys().map(|key| resolve.name_world_key(key)).collect();
    Ok((imports, exports))
}
