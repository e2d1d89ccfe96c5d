// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"fmt"
	"strings"
)

// Names on the bus, fixed from the first day (DESIGN §3). STATE keeps the last
// message of each orders, stored and bundle subject for an agent that was away.
const (
	EventsStream = "EVENTS"
	StateStream  = "STATE"
	// directGet answers with the last message of the subject that follows. Subject by
	// subject it can be permitted; the stream's other doors cannot.
	directGet = "$JS.API.DIRECT.GET." + StateStream + "."
)

// EventsSubject is where a host publishes its events.
func EventsSubject(t Tenant, c Class, h Host) string {
	return "events." + string(t) + "." + c.String() + "." + string(h)
}

// StoredSubject tells a host how far its events are stored.
func StoredSubject(t Tenant, h Host) string { return "stored." + string(t) + "." + string(h) }

// OrdersSubject brings a host its signed orders.
func OrdersSubject(t Tenant, h Host) string { return "orders." + string(t) + "." + string(h) }

// BundleSubject announces a group's signed bundle.
func BundleSubject(t Tenant, g Group) string { return "bundle." + string(t) + "." + string(g) }

// LastSubject asks for the last message of one of the three subjects above.
func LastSubject(subject string) string { return directGet + subject }

// ParseEventsSubject takes tenant, class and host from the tail of a subject:
// events.<tenant>.<class>.<host>, or events.<partition>.<tenant>.<class>.<host> as
// the stream stores it. This, not the payload, is who sent the event.
func ParseEventsSubject(subject string) (Tenant, Class, Host, error) {
	f := strings.Split(subject, ".")
	if len(f) < 4 || len(f) > 5 || f[0] != "events" {
		return "", 0, "", fmt.Errorf("subject %.200q is not events.<tenant>.<class>.<host>", subject)
	}
	f = f[len(f)-3:]
	t, err := ParseTenant(f[0])
	if err != nil {
		return "", 0, "", err
	}
	c, err := ParseClass(f[1])
	if err != nil {
		return "", 0, "", err
	}
	h, err := ParseHost(f[2])
	return t, c, h, err
}
