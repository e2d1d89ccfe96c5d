// SPDX-License-Identifier: Apache-2.0

package behaviour_test

import (
	"testing"
	"testing/fstest"

	"github.com/ringwall/ringwall/behaviour/sigma"
	"github.com/ringwall/ringwall/graph"
)

const testRules = `title: Compiler Started
id: 11111111-0000-0000-0000-000000000001
name: compiler
status: test
logsource: {category: process_creation, product: linux}
detection:
    selection: {Image|endswith: /cc}
    condition: selection
level: high
---
title: Three Compilers in a Minute
id: 11111111-0000-0000-0000-000000000002
status: test
correlation:
    type: event_count
    rules: [compiler]
    group-by: [User]
    timespan: 60s
    condition: {gte: 3}
level: critical
---
title: As Auditd Tells It
id: 11111111-0000-0000-0000-000000000003
status: test
logsource: {product: linux, service: auditd}
detection:
    selection: {type: EXECVE, a0: chattr, a1: '+i', exe|endswith: /chattr, comm: chattr}
    condition: selection
level: critical
tags: [attack.t1222.002]
`

func compileTestRules(t *testing.T) *sigma.Set {
	set, report, err := sigma.Compile([]sigma.Source{{FS: fstest.MapFS{"r.yml": {Data: []byte(testRules)}}, Name: "test"}}, sigma.Options{Sensors: sigma.Sensors()})
	if err != nil || len(report.Refused) > 0 || len(report.NeverFires) > 0 {
		t.Fatal(err, report)
	}
	return set
}

func playWith(t *testing.T, set *sigma.Set, text string) *heart {
	p, err := parsePlay(text)
	if err != nil {
		t.Fatal(err)
	}
	h := newHeart(t, set, graph.Config{}, nil)
	for _, ev := range p.events {
		h.see(ev)
	}
	return h
}

// TestCorrelationOnEventTime: three within a minute of event time are one finding
// that rests on all three; the single ones are not told. The wall clock is no matter.
func TestCorrelationOnEventTime(t *testing.T) {
	set := compileTestRules(t)
	h := playWith(t, set, `
web 1 snapshot 5 /bin/make
web 10 run 5 10 /usr/bin/cc uid=7
web 20 run 5 11 /usr/bin/cc uid=7
web 30 run 5 12 /usr/bin/cc uid=7`)
	if len(h.findings) != 1 {
		t.Fatalf("want one finding, got %v", h.findings)
	}
	f := h.findings[0]
	if f.Title != "Three Compilers in a Minute" || len(f.Events) != 3 || f.Events[0].Seq != 3 || f.Events[2].Seq != 7 || !f.Black() {
		t.Errorf("the correlation rests on its three events: %v", f)
	}
	h = playWith(t, set, `
web 1 snapshot 5 /bin/make
web 10 run 5 10 /usr/bin/cc uid=7
web 60 run 5 11 /usr/bin/cc uid=7
web 120 run 5 12 /usr/bin/cc uid=7`)
	if len(h.findings) != 0 {
		t.Errorf("three in two minutes are none: %v", h.findings)
	}
	h = playWith(t, set, `
web 1 snapshot 5 /bin/make
web 10 run 5 10 /usr/bin/cc uid=7
web 20 run 5 11 /usr/bin/cc uid=8
web 30 run 5 12 /usr/bin/cc uid=9`)
	if len(h.findings) != 0 {
		t.Errorf("three users are three groups: %v", h.findings)
	}
}

func TestExecAsAuditRecord(t *testing.T) {
	set := compileTestRules(t)
	h := playWith(t, set, "web 1 snapshot 5 /bin/bash\nweb 2 run 5 10 /usr/bin/chattr -- chattr +i /tmp/x")
	if len(h.findings) != 1 || h.findings[0].Title != "As Auditd Tells It" {
		t.Errorf("want the audit rule, got %v", h.findings)
	}
	h = playWith(t, set, "web 1 snapshot 5 /bin/bash\nweb 2 run 5 10 /usr/bin/chattr -- chattr -i /tmp/x")
	if len(h.findings) != 0 {
		t.Errorf("near miss: %v", h.findings)
	}
}
