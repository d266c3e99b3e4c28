//! A placer whose interfaces have the contract's names and version, and other types.

wit_bindgen::generate!({
    inline: "
        package isobar:policy@0.1.0;
        interface lifecycle { describe: func() -> string; }
        interface placing { propose: func(view: string) -> string; }
        world placement-policy {
            export lifecycle;
            export placing;
        }
    ",
});

struct Impostor;

impl exports::isobar::policy::lifecycle::Guest for Impostor {
    fn describe() -> String {
        "a placer, honestly".into()
    }
}

impl exports::isobar::policy::placing::Guest for Impostor {
    fn propose(view: String) -> String {
        view
    }
}

export!(Impostor);
