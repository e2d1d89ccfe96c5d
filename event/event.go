// SPDX-License-Identifier: Apache-2.0

// Package event holds facts: one Event is one thing that one sensor saw.
//
// In come sensors' observations; out go protobuf messages that the spool, the bus,
// the archive and the exports carry. Class and activity numbers are OCSF's. It
// believes nothing about good or bad.
//
// The worst trap: secrets. Whatever fills Argv, Env, Headers, Params or Line must
// have passed Redactor first; after the spool it is too late.
//
// Unknown fields and kinds of a newer schema survive decode and encode, so an old
// brain passes on what a new agent saw.
package event

import (
	"strings"
	"time"

	"github.com/ringwall/ringwall/verdict"
)

// Schema is the version this build writes. It rises when a kind is added.
const Schema = 1

// OCSF class numbers (category*1000 + class, ocsf-schema 1.9).
const (
	ClassBase      = 0
	ClassFile      = 1001
	ClassKernel    = 1003
	ClassProcess   = 1007
	ClassFinding   = 2004
	ClassAuth      = 3002
	ClassNetwork   = 4001
	ClassHTTP      = 4002
	ClassDNS       = 4003
	ClassSSH       = 4007
	ClassInventory = 5001
	ClassAction    = 7001
)

// ID names the event.
func (e *Event) ID() *verdict.EventID {
	return &verdict.EventID{Tenant: e.Tenant, Host: e.Host, Epoch: e.Epoch, Seq: e.Seq}
}

// Wall is the wall-clock time of the fact.
func (e *Event) Wall() time.Time { return time.Unix(0, e.WallNs) }

// Classify sets class and activity from the payload. Activity numbers follow OCSF
// where the class has them and the payload's own Op elsewhere.
func (e *Event) Classify() {
	switch p := e.Payload.(type) {
	case *Event_Process:
		e.ClassUid, e.ActivityId = ClassProcess, processActivity[p.Process.Op]
	case *Event_File:
		e.ClassUid, e.ActivityId = ClassFile, fileActivity[p.File.Op]
	case *Event_Kernel:
		e.ClassUid, e.ActivityId = ClassKernel, 99
	case *Event_Network:
		e.ClassUid, e.ActivityId = ClassNetwork, networkActivity[p.Network.Op]
	case *Event_Channel:
		e.ClassUid, e.ActivityId = ClassNetwork, 99
	case *Event_Http:
		e.ClassUid, e.ActivityId = ClassHTTP, 99
	case *Event_Dns:
		e.ClassUid, e.ActivityId = ClassDNS, 1
		if p.Dns.Response {
			e.ActivityId = 2
		}
	case *Event_Tls:
		e.ClassUid, e.ActivityId = ClassNetwork, 6
	case *Event_Ssh:
		e.ClassUid, e.ActivityId = ClassSSH, 1
	case *Event_Auth:
		e.ClassUid, e.ActivityId = ClassAuth, 1
	case *Event_Inventory:
		e.ClassUid, e.ActivityId = ClassInventory, 2
	case *Event_Finding:
		e.ClassUid, e.ActivityId = ClassFinding, 1
	case *Event_Action:
		e.ClassUid, e.ActivityId = ClassAction, 1
	}
}

// OCSF activity_id: 1007 launch 1, terminate 2, set user 5; 99 other.
var processActivity = map[ProcessActivity_Op]uint32{
	ProcessActivity_FORK: 1, ProcessActivity_EXEC: 1, ProcessActivity_EXIT: 2,
	ProcessActivity_PTRACE: 4, ProcessActivity_SETUID: 5, ProcessActivity_CAPSET: 99,
	ProcessActivity_SNAPSHOT: 99, ProcessActivity_WX_MAPPING: 99,
}

// OCSF activity_id: 1001 create 1, read 2, update 3, delete 4, rename 5, set attributes 6, open 14.
var fileActivity = map[FileActivity_Op]uint32{
	FileActivity_OPEN_WRITE: 14, FileActivity_CLOSE_WRITE: 3, FileActivity_RENAME: 5,
	FileActivity_LINK: 1, FileActivity_UNLINK: 4, FileActivity_CHMOD_EXEC: 6,
	FileActivity_READ: 2, FileActivity_MEMFD: 1, FileActivity_SWEPT: 3, FileActivity_SCRIPT: 2,
}

// OCSF activity_id: 4001 open 1, close 2, reset 3, fail 4, refuse 5, traffic 6, listen 7.
var networkActivity = map[NetworkActivity_Op]uint32{
	NetworkActivity_BIND: 99, NetworkActivity_LISTEN: 7, NetworkActivity_ACCEPT: 1,
	NetworkActivity_CONNECT: 1, NetworkActivity_CLOSE: 2, NetworkActivity_RESET: 5,
	NetworkActivity_FLOW_OPEN: 1, NetworkActivity_FLOW_CLOSE: 2, NetworkActivity_SEND: 6,
	NetworkActivity_TRANSLATE: 99,
}

// Kind is a short stable name of the payload for metrics, hunts and people:
// "process.exec", "file.rename", "http.request", "finding".
func (e *Event) Kind() string {
	switch p := e.Payload.(type) {
	case *Event_Process:
		return processKinds.of(int32(p.Process.Op))
	case *Event_File:
		return fileKinds.of(int32(p.File.Op))
	case *Event_Kernel:
		return kernelKinds.of(int32(p.Kernel.Op))
	case *Event_Network:
		return networkKinds.of(int32(p.Network.Op))
	case *Event_Channel:
		return channelKinds.of(int32(p.Channel.Op))
	case *Event_Http:
		if p.Http.Op == HttpActivity_RESPONSE {
			return "http.response"
		}
		return "http.request"
	case *Event_Dns:
		return "dns"
	case *Event_Tls:
		return "tls"
	case *Event_Ssh:
		return "ssh"
	case *Event_Auth:
		return "auth"
	case *Event_Inventory:
		return "inventory"
	case *Event_Log:
		return "log"
	case *Event_State:
		return "state"
	case *Event_Loss:
		return "loss"
	case *Event_Finding:
		return "finding"
	case *Event_Action:
		return "action"
	}
	return "unknown"
}

var (
	processKinds = kinds("process", ProcessActivity_Op_name)
	fileKinds    = kinds("file", FileActivity_Op_name)
	kernelKinds  = kinds("kernel", KernelActivity_Op_name)
	networkKinds = kinds("network", NetworkActivity_Op_name)
	channelKinds = kinds("channel", ChannelActivity_Op_name)
)

// ops are the names of one family's operations, by number.
type ops []string

// of gives the name; an operation of a newer schema is "family.unknown".
func (o ops) of(op int32) string {
	if op < 0 || int(op) >= len(o) {
		return o[0]
	}
	return o[op]
}

// kinds makes "family.lower-case-op" for each op, in order of number.
func kinds(family string, names map[int32]string) ops {
	out := make(ops, len(names))
	for n, name := range names {
		out[n] = family + "." + strings.ToLower(name)
	}
	out[0] = family + ".unknown"
	return out
}
