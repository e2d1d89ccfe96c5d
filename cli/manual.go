// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// manual is what --help says beyond the usage line, by the command's path below the
// root. Commands that stand in cli/host bring their own.
var manual = map[string]struct{ long, example string }{
	"up": {
		"Up runs the agent of this host and the brain in one process, with everything kept in DATA. It prints once which\n" +
			"sensors and answers are on and which are not and why, then every finding and incident as it happens. Without root it\n" +
			"starts too, and says what that costs. Nothing is touched until the policy's stage is enforce.\n" +
			"SIGHUP reads the configuration again, without loss; Ctrl-C ends it; a second start goes on where it ended.\n" +
			"With --json each line is {\"component\"|\"finding\"|\"incident\"|\"action\": …}.",
		"ringwall up --data /var/lib/ringwall\nringwall up --json - | jq -c .incident",
	},
	"brain": {
		"Brain keeps every event, judges, and orders answers, for the agents that join it. It listens for them on --listen\n" +
			"(brain.listen); hosts enrol on the port above. SIGHUP reads the configuration again, without loss.",
		"ringwall brain --listen 10.0.0.5:4222 --data /var/lib/ringwall\nringwall enroll --host web1",
	},
	"config": {
		"One file holds all settings: DATA/ringwall.yaml, or what --config names. deploy/ringwall.yaml lists each with its\ndefault and meaning.",
		"ringwall config check",
	},
	"config check": {
		"Check reads the file as `ringwall up` would and names the line of what cannot be. A running process takes the file\nwith SIGHUP (systemctl reload) and keeps the old one where this check would fail.",
		"ringwall config check --config new.yaml && cp new.yaml /var/lib/ringwall/ringwall.yaml",
	},
	"hosts": {
		"Hosts lists every host that is enrolled or ever sent something: whether it is on, degraded (it says so of a part),\n" +
			"silent (not heard of for ten minutes) or revoked, what it runs and what it works from. With HOST also each sensor and\n" +
			"what it lost.",
		"ringwall hosts --state silent\nringwall hosts web1 --json -",
	},
	"hosts revoke": {"Revoke puts a host's key on the list of the revoked and cuts it off at once. It stands in the audit chain.", "ringwall hosts revoke web1"},
	"enroll list":  {"List shows the join tokens that can still be used or were used before they expired, without the tokens themselves.", "ringwall enroll list"},
	"enroll end":   {"End makes a join token useless before its time. A host that joined by it stays in: revoke that host.", "ringwall enroll end 93aa1b0c2d4e5f60"},
	"files": {
		"Files lists each content under each path that the file layer had something to say of, the newest first, with where its\nquarantine stands. What is packaged and unchanged is not listed.",
		"ringwall files --colour black\nringwall files --find /var/www --json -",
	},
	"rules": {
		"Rules lists the Sigma rules that judge and the YARA rules that agents get, how often each named a finding and when last;\nsilent ones, for which no sensor gives what they ask; and those that were refused, with the reason.",
		"ringwall rules --hit\nringwall rules --state refused --json -",
	},
	"rules show":     {"Show prints the file that a rule stands in.", "ringwall rules show light/asp_small_eval"},
	"rules save":     {"Save puts a Sigma rule in force at once and into the next bundles, beside the configured ones. A rule of the same id\nthat was saved before is replaced. Try it first with backtest.", "ringwall rules save suspicious-curl.yml"},
	"rules drop":     {"Drop ends a rule that was saved here. Rules of configured folders are ended there.", "ringwall rules drop 5f0a3f6e-6e54-4b0c-9d6c-0d9f5f9f2a11"},
	"rules backtest": {"Backtest shows what a Sigma rule would have said of the events that the archive holds, in the order in which they were\njudged. Nothing is kept and nothing is ordered.", "ringwall rules backtest suspicious-curl.yml --since 168h\ncat rule.yml | ringwall rules backtest - --json -"},
	"audit": {
		"Audit lists who did what to which thing: people, tokens, the brain itself. Each entry carries the hash of the one before,\nso that none can be changed or taken out unseen.",
		"ringwall audit --since 24h\nringwall audit --find revoke --json -",
	},
	"audit verify":        {"Verify walks the chain from its first entry. Keep the head that it prints elsewhere: with --head it shows later whether the\nend was cut off or the chain made anew.", "ringwall audit verify\nringwall audit verify --head 412:9f2c…"},
	"network connections": {"Connections lists who talked to whom in the last while, over which port, how often, and which programs at the host's end.", "ringwall network connections --host web1 --since 1h"},
	"findings": {
		"Findings lists what a layer thought worth a word, the newest last. A line has the time, ! for what is above suspicion\n" +
			"and ? for what is not (--grey), the host, the layer and stage, the score (of findings at 0.9, nine in ten are\n" +
			"malicious), the title, the thing it is about and its ATT&CK techniques.",
		"ringwall findings --since 24h --grey\nringwall findings --follow --json - | jq -r '.finding.title // empty'",
	},
	"incidents": {
		"An incident is one intrusion: the findings that share an entry or a client. Without ID all are listed, oldest first;\nwith one, also what happened, in order. `ringwall trace` tells the story at length.",
		"ringwall incidents\nringwall incidents i-d09db9b5fc5510fa --json -",
	},
	"trace": {
		"Trace leads a finding or an incident back to the request, log-in or file that began it, naming the rule that made each\njoin, and on to everything it caused. What is a guess is called one.",
		"ringwall trace i-d09db9b5fc5510fa",
	},
	"actions": {
		"Actions lists what was ordered, where it stands, and until when it holds. Every action ends by itself.",
		"ringwall actions\nringwall actions undo a-1f2e",
	},
	"actions undo": {
		"Undo takes one action back before its time: the address may come in again, the file is where it was. The same order\ndoes not do it again.",
		"ringwall actions undo a-1f2e",
	},
	"hunt": {
		"Hunt asks the archive in SQL (DuckDB's). It holds every event, the last seconds included. Tables: events, and by kind\n" +
			"processes, connections, files, http and more (`show tables`, `describe events`). The engine reads this tenant's\n" +
			"segments, writes nothing, and is bounded in time, memory and rows.\n" +
			"With --json each line is one row, an array.",
		"ringwall hunt \"select time, host, exe, argv from processes order by time desc limit 20\"\nringwall hunt \"describe events\"",
	},
	"intel": {
		"Lists of addresses, names, URLs, hashes and fingerprints, named in brain.intel, and what our own incidents taught.",
		"ringwall intel lookup 203.0.113.9",
	},
	"intel lookup": {
		"Lookup says which list knows a value, with what tags, how surely and until when, whether an allow-list vouches for it,\nand in which incident here it was seen.",
		"ringwall intel lookup 203.0.113.9\nringwall intel lookup https://bad.example/x --json -",
	},
	"scan": {
		"Scan sends files through the stages that judge new files on a watched host: known hashes, package manifests, rules.\n" +
			"It prints what is black, and grey with a reason; --json a line for every file. Links are not followed; nothing is\n" +
			"changed.",
		"ringwall scan /var/www\nringwall scan --fail-on black --json - ./build | jq -r 'select(.colour == \"black\").path'",
	},
	"replay": {
		"Replay judges recordings (ringwall record) and captures (pcap, pcapng, also gzipped) by the pipeline that judges live\n" +
			"events, and touches nothing. The same files give the same findings and incident ids, byte for byte.\n" +
			"With --json each line is {\"event\"|\"finding\"|\"incident\"|\"order\": …}.",
		"ringwall replay capture.pcap\nringwall replay monday.rwe --json - --events=false",
	},
	"record": {
		"Record writes the events of the last while, as they arrived, into a file that `ringwall replay` judges. Secrets were\nhashed before they were kept.",
		"ringwall record --since 1h incident.rwe",
	},
	"demo": {
		"Demo replays a recorded intrusion from the range through the pipeline that judges live events, in shadow: no root, no\nlab, nothing touched.",
		"ringwall demo\nringwall demo --fast",
	},
	"range": {
		"The range is a small network of namespaces: an attacker, clients, a web host with a weak page, a data host, the brain.\nNothing in it reaches anything outside. It needs root.",
		"ringwall range run proving/scenarios/web-upload.yaml",
	},
	"range run": {
		"Run builds the lab, runs ordinary work, plays the scenario and writes a table: for each step which layer saw it and how\n" +
			"fast, the incidents, the root cause found and expected, findings on ordinary work; with --enforce where the attack\n" +
			"was stopped and how many ordinary requests failed. Afterwards nothing of the lab is left.",
		"ringwall range run proving/scenarios/web-upload.yaml --enforce --seed 7 --json out.json\nringwall range run proving/scenarios/web-upload.yaml --without packet",
	},
	"sigma":       {"Sigma rules for Linux run unchanged: our own, and those of folders named in brain.rules.", "ringwall sigma check /etc/ringwall/rules"},
	"sigma check": {"Check says how many rules of a folder load, which are refused and why, and which can never fire with our sensors.", "ringwall sigma check sigma/rules/linux --json -"},
	"sigma test":  {"Test runs the cases beside the rules: events that must fire and near misses that must not.", "ringwall sigma test /etc/ringwall/rules"},
	"network":     {"What the network layer has learned of each host.", "ringwall network exposure --host web1"},
	"network exposure": {
		"Exposure lists who talks to which port of a host and where the host itself talks to, how often, on how many days and\nhow sure that is. What a host never did before is told once it has been watched for brain.exposure.learn.",
		"ringwall network exposure --host web1",
	},
	"bundle": {
		"A bundle is what agents work from: policy, rules, lists and exceptions, signed as one file. The brain makes one for each\n" +
			"group of hosts of what it is configured with, and gives it to them over the bus. Where no bus reaches a host, export it\n" +
			"here and apply it there. A version only rises: to go back, give the brain its old configuration again.",
		"ringwall bundle export web.rwb --group web",
	},
	"bundle export": {
		"Export writes the newest bundle of a group into a file. It holds no key, but it shows what is looked for and excepted.",
		"ringwall bundle export web.rwb --group web --tenant acme",
	},
	"bundle show": {
		"Show prints what a bundle file holds, who signed it, and whether the host of this data folder would believe it.",
		"ringwall bundle show web.rwb\nringwall bundle show web.rwb --json - | jq .files",
	},
	"bundle apply": {
		"Apply hands a bundle file to the agent of this data folder, running or not. The signature decides, not the way it came:\n" +
			"one that is older than what the host has, of another group, or of another brain is refused.",
		"ringwall bundle apply web.rwb --data /var/lib/ringwall",
	},
	"off": {
		"Off is the panic switch. It takes every action back, here without the brain's help and on other hosts through it, and\n" +
			"ends the agent of this host, whose programs are in the kernel as long as it lives. It works while up runs, after it\n" +
			"was killed, and without any brain.",
		"ringwall off --data /var/lib/ringwall\nringwall off --keep-watching",
	},
	"enroll": {
		"Enroll makes a token with which one host joins this brain, once. With --host only the host of that name can use it.",
		"ringwall enroll --host web1 --life 10m",
	},
	"status": {
		"Status lists every component of the brain and of each host: on, degraded or off and why; and what was lost.",
		"ringwall status\nringwall status --json - | jq .lost",
	},
}

// explain gives the commands below root their manual, and errors of the command line
// the mend.
func explain(root *cobra.Command) {
	for _, c := range root.Commands() {
		if want := c.Args; want != nil {
			c.Args = func(c *cobra.Command, args []string) error {
				if err := want(c, args); err != nil {
					return fmt.Errorf("%s: %w; use: %s", c.CommandPath(), err, c.UseLine())
				}
				return nil
			}
		}
		c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
			return fmt.Errorf("%s: %w; `%s --help` lists the flags", c.CommandPath(), err, c.CommandPath())
		})
		if m, ok := manual[strings.TrimPrefix(c.CommandPath(), "ringwall ")]; ok {
			c.Long, c.Example = m.long, "  "+strings.ReplaceAll(m.example, "\n", "\n  ")
		}
		explain(c)
	}
}
