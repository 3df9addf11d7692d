//! `signal`: to the program, by name or by number.

use crate::expect;
use crate::support::Jail;

#[test]
fn the_program_gets_what_is_sent() {
    let jail = Jail::shell("told", "");
    let script = "for each in HUP USR1 USR2 WINCH; do trap \"echo $each\" $each; done; trap 'exit 3' TERM; echo ready; \
                  while :; do busybox sleep 0.01; done";
    let mut running = jail.start(&[script]);
    running.expect("ready");
    for (word, name) in [("HUP", "HUP"), ("sigusr1", "USR1"), ("SIGUSR2", "USR2"), ("28", "WINCH")] {
        expect(&jail, &["signal", "told", word], 0, "", "");
        running.expect(name);
    }
    let unknown = "error: there is no signal `HUPP`\nhint: write a name as kill(1) knows it, such as `HUP` or `SIGUSR1`, or a \
                   number from 1 to 64: `stockade signal JAIL HUP`\n";
    expect(&jail, &["signal", "told", "HUPP"], 2, "", unknown);
    expect(
        &jail,
        &["signal", "told"],
        2,
        "",
        "error: a jail and a signal are wanted\nhint: write `stockade signal JAIL HUP`\n",
    );
    let absent = "error: jail `tol` does not run\nhint: did you mean `told`?\n";
    expect(&jail, &["signal", "tol", "HUP"], 1, "", absent);
    expect(&jail, &["signal", "told", "TERM"], 0, "", "");
    assert_eq!(running.wait(), 3);
}
