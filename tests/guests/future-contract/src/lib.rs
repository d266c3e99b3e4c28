//! A placer of a contract that this host does not speak yet.

wit_bindgen::generate!({
    inline: "
        package isobar:policy@9.0.0;
        interface lifecycle { describe: func() -> string; }
        interface placing { propose: func(view: string) -> string; }
        world placement-policy {
            export lifecycle;
            export placing;
        }
    ",
});

struct Future;

impl exports::isobar::policy::lifecycle::Guest for Future {
    fn describe() -> String {
        "from the future".into()
    }
}

impl exports::isobar::policy::placing::Guest for Future {
    fn propose(view: String) -> String {
        view
    }
}

export!(Future);
