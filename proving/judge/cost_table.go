// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

// costTables says what each side costs, medians over the rounds.
func (r *Record) costTables(all map[string][]round) {
	rounds := len(all["none"])
	r.Text = append(r.Text, fmt.Sprintf("Both sides are asked for the same facts: exec, open for writing, reads of one listed file, connect; both see one user (auditd: `-F uid`) or one cgroup (Ringwall) only. %d round(s); in each, every side in turn; medians. Added = CPU of the workload above that of the same round with nobody watching, plus CPU of the daemon until it rests again (auditd: with the kernel thread kauditd), less what the daemon uses at rest. Delivered = in the archive of the brain, or in audit.log. No worker process exceeds the agent's cap of 2,000 bulk facts a second and process.", rounds))
	for _, m := range modes {
		if m.start != nil {
			r.Notes = append(r.Notes, m.name+": "+m.note)
		}
	}
	r.Notes = append(r.Notes, "The brain's CPU (bus, archive, graph, rules) stands beside and is in no ratio: it may run elsewhere, and auditd judges nothing.")
	sum := map[string]float64{}
	told := map[string][2]int{}
	for _, d := range wanted {
		t := Table{Title: "**" + d.name + "**, µs of CPU per deed", Head: []string{"watched by", "workload", "daemon", "added", "of auditd that waits", "delivered", "brain"}}
		peer := added(all, "auditd, waits", d.kind)
		for _, m := range modes {
			if len(all[m.name]) == 0 || m.all && !d.all {
				continue
			}
			v := all[m.name]
			if m.all {
				peer = added(all, "auditd, all opens", d.kind)
			}
			done, got := facts(v, d.kind)
			cells := []any{m.name, micro(workload(v, d.kind)), "", "", "", "", ""}
			if m.start != nil {
				a := added(all, m.name, d.kind)
				cells[2], cells[3] = micro(daemon(v, d.kind)), micro(a)
				if asked := !d.all && d.kind != "plain" || m.all && d.all; asked {
					cells[4] = fmt.Sprintf("%.2f", a/peer)
					cells[5] = fmt.Sprintf("%.2f %%", 100*float64(got)/float64(done))
					told[m.name] = [2]int{told[m.name][0] + done, told[m.name][1] + got}
				}
				if m.name == "Ringwall" || m.name == "Ringwall, all opens" {
					cells[6] = micro(medianOf(v, d.kind, func(s spent) float64 { return s.Brain }))
				}
				if !d.all && d.kind != "plain" && !m.all {
					sum[m.name] += a
				}
			}
			r.row(&t, cells...)
		}
		r.Tables = append(r.Tables, t)
		if !d.all && d.kind != "plain" {
			ratio := added(all, "Ringwall", d.kind) / peer
			r.must("added cost of "+d.name, "<= 0.33 of auditd's", fmt.Sprintf("%.2f", ratio), ratio <= 1.0/3)
		}
	}
	ratio := sum["Ringwall"] / sum["auditd, waits"]
	r.must("added cost of one of each", "<= 0.33 of auditd's", fmt.Sprintf("%.2f (%s against %s µs)", ratio, micro(sum["Ringwall"]), micro(sum["auditd, waits"])), ratio <= 1.0/3)
	n := told["Ringwall"]
	r.must("facts delivered", "100 %", fmt.Sprintf("%d of %d", n[1], n[0]), n[1] == n[0])
}

func medianOf(v []round, kind string, of func(spent) float64) float64 {
	var out []float64
	for _, r := range v {
		out = append(out, of(r[kind]))
	}
	return median(out)
}

func workload(v []round, kind string) float64 {
	return medianOf(v, kind, func(s spent) float64 { return s.Workload })
}

func daemon(v []round, kind string) float64 {
	return medianOf(v, kind, func(s spent) float64 { return s.Daemon })
}

// added is the median over the rounds of what a side costs above nobody in the same round.
func added(all map[string][]round, mode, kind string) float64 {
	var out []float64
	for i, r := range all[mode] {
		out = append(out, r[kind].Workload-all["none"][i][kind].Workload+r[kind].Daemon)
	}
	return median(out)
}

func facts(v []round, kind string) (done, told int) {
	for _, r := range v {
		done, told = done+r[kind].Done, told+r[kind].Told
	}
	return done, told
}

func micro(ns float64) string { return fmt.Sprintf("%.2f", ns/1e3) }
