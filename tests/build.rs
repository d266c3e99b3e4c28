//! Builds the hostile guests, and tells the tests where they lie: `GUEST_NAME` in the environment of their compiler.

fn main() {
    for guest in isobar_guest_build::GuestWorkspace::new("guests").watch("../wit").build_for_cargo() {
        let variable = guest.name.to_uppercase().replace('-', "_");
        println!("cargo::rustc-env=GUEST_{variable}={}", guest.component.display());
    }
}
