// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringwall/ringwall/brain"
	"github.com/ringwall/ringwall/funnel"
	"github.com/ringwall/ringwall/health"
)

// metrics shows the counters of both roles to Prometheus. Everything is read when it
// is asked for; nothing is counted twice.
type metrics struct {
	board  *health.Board
	brain  *brain.Brain
	tenant string                      // of the agent in this process
	stages func() []funnel.StageCounts // of that agent; nil without one
	seen   func() uint64
	sensed func() map[string]map[string]health.Count // by sensor and class
	denied func() map[string]uint64                  // by what: orders, bundles
}

var (
	stageItems  = desc("stage_items_total", "Items by what the stage did with them: in, white, black, grey (passed on), errors.", "tenant", "layer", "stage", "outcome")
	stageTime   = desc("stage_seconds", "Time of a judgement, upper bound of its bucket, by quantile.", "tenant", "layer", "stage", "quantile")
	stageBusy   = desc("stage_busy_seconds_total", "Time of all judgements together.", "tenant", "layer", "stage")
	lostEvents  = desc("lost_total", "Events lost, by sensor and class.", "class")
	componentUp = desc("component_up", "1 on, 0.5 degraded, 0 off.", "component")
	counts      = desc("count", "What the brain has done and holds.", "what")
	sensed      = desc("sensor_facts_total", "Facts by what the sensor did with them: seen, filtered, lost.", "sensor", "class", "outcome")
	denied      = desc("refused_total", "Orders and bundles that the agent of this process did not believe.", "what")
	agentSeen   = desc("agent_events_total", "Events the agent of this process took.")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("ringwall_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{stageItems, stageTime, stageBusy, lostEvents, componentUp, counts, agentSeen, sensed, denied} {
		c <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(c chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	total := func(d *prometheus.Desc, v uint64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	show := func(tenant string, stages []funnel.StageCounts) {
		for _, s := range stages {
			for outcome, n := range map[string]uint64{"in": s.In, "white": s.White, "black": s.Black, "grey": s.Passed, "errors": s.Errors} {
				total(stageItems, n, tenant, s.Layer, s.Stage, outcome)
			}
			if s.Layer == "network" && s.Stage == "intercept" {
				continue // in the kernel, where nobody looks at the clock
			}
			gauge(stageTime, s.P50.Seconds(), tenant, s.Layer, s.Stage, "0.5")
			gauge(stageTime, s.P99.Seconds(), tenant, s.Layer, s.Stage, "0.99")
			c <- prometheus.MustNewConstMetric(stageBusy, prometheus.CounterValue, s.Busy.Seconds(), tenant, s.Layer, s.Stage)
		}
	}
	if m.stages != nil {
		total(agentSeen, m.seen())
		for what, n := range m.denied() {
			total(denied, n, what)
		}
		for name, classes := range m.sensed() {
			for class, n := range classes {
				for outcome, n := range map[string]uint64{"seen": n.Seen, "filtered": n.Filtered, "lost": n.Lost} {
					total(sensed, n, strings.TrimPrefix(name, "sensor."), class, outcome)
				}
			}
		}
		show(m.tenant, m.stages())
	}
	for tenant, stages := range m.brain.Stages() {
		show(tenant, stages)
	}
	for class, n := range m.board.LossTotals() {
		total(lostEvents, n, class)
	}
	for _, k := range m.board.Components() {
		gauge(componentUp, map[string]float64{"on": 1, "degraded": 0.5}[k.State], k.Name)
	}
	for what, n := range m.brain.Status(context.Background()).Counts {
		gauge(counts, float64(n), what)
	}
}
