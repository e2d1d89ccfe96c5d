// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"cmp"
	"reflect"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/verdict"
)

// Schema is the version of the columns this build writes. It rises when a column is
// added; none is ever removed or retyped (TestColumnsOnlyGrow).
const Schema = 2

// row is one event as a hunt sees it. Field tags are the truth about the columns:
// the Parquet schema, the views and docs/formats/archive.md come from them. sql is
// the type in SQL, since the schema that brought the column. Optional columns are
// NULL where the event has no such thing, so that views need no NULLIF, which would
// keep filters from reaching the Parquet statistics and bloom filters.
type row struct {
	Host      string   `parquet:"host,dict" sql:"VARCHAR" doc:"host that saw it"`
	Epoch     int64    `parquet:"epoch,delta" sql:"BIGINT" doc:"spool life of that host"`
	Seq       int64    `parquet:"seq,delta" sql:"BIGINT" doc:"number in that life; (tenant, host, epoch, seq) is the event id"`
	Time      int64    `parquet:"time,timestamp(microsecond:local),delta" sql:"TIMESTAMP" doc:"wall time, UTC, microseconds"`
	TimeNs    int64    `parquet:"time_ns,delta" sql:"BIGINT" doc:"wall time, ns since 1970"`
	BootNs    int64    `parquet:"boot_ns,delta" sql:"BIGINT" doc:"ns since boot: the order within a host"`
	Kind      string   `parquet:"kind,dict" sql:"VARCHAR" doc:"process.exec, file.rename, http.request, finding …"`
	Class     int32    `parquet:"class_uid,dict" sql:"INTEGER" doc:"OCSF class"`
	Activity  int32    `parquet:"activity_id,dict" sql:"INTEGER" doc:"OCSF activity"`
	Sensor    string   `parquet:"sensor,dict" sql:"VARCHAR" doc:"kernel, packet, files, logs, inventory, judge, enforcer"`
	Pid       *int32   `parquet:"pid,optional" sql:"INTEGER" doc:"process that acted"`
	StartNs   int64    `parquet:"start_ns,optional" sql:"BIGINT" doc:"its start, ns since boot: (host, pid, start_ns) is one process life"`
	Comm      string   `parquet:"comm,optional,dict" sql:"VARCHAR" doc:"its short name"`
	Exe       string   `parquet:"exe,optional,dict" sql:"VARCHAR" doc:"its program"`
	UID       *int32   `parquet:"uid,optional,dict" sql:"INTEGER" doc:"its user"`
	Container string   `parquet:"container,optional,dict" sql:"VARCHAR" doc:"its container"`
	Argv      string   `parquet:"argv,optional,dict" sql:"VARCHAR" doc:"arguments, joined by one space"`
	Cwd       string   `parquet:"cwd,optional,dict" sql:"VARCHAR" doc:"working folder"`
	PPid      *int32   `parquet:"ppid,optional" sql:"INTEGER" doc:"parent"`
	PStartNs  int64    `parquet:"parent_start_ns,optional" sql:"BIGINT" doc:"its start"`
	PExe      string   `parquet:"parent_exe,optional,dict" sql:"VARCHAR" doc:"its program"`
	TPid      *int32   `parquet:"target_pid,optional" sql:"INTEGER" doc:"child of a fork, or who was traced"`
	TStartNs  int64    `parquet:"target_start_ns,optional" sql:"BIGINT" doc:"its start"`
	ExitCode  *int32   `parquet:"exit_code,optional,dict" sql:"INTEGER" doc:"of process.exit"`
	Path      string   `parquet:"path,optional,dict" sql:"VARCHAR" doc:"file acted on, or image of an exec"`
	NewPath   string   `parquet:"new_path,optional,dict" sql:"VARCHAR" doc:"name after a rename or link"`
	Inode     int64    `parquet:"inode,optional" sql:"BIGINT" doc:"its inode"`
	Size      int64    `parquet:"size,optional" sql:"BIGINT" doc:"its bytes"`
	Sha256    string   `parquet:"sha256,optional,dict" sql:"VARCHAR" doc:"its content, lower-case hex"`
	SrcIP     string   `parquet:"src_ip,optional,dict" sql:"VARCHAR" doc:"end that opened the flow"`
	SrcPort   int32    `parquet:"src_port,optional" sql:"INTEGER" doc:"its port"`
	DstIP     string   `parquet:"dst_ip,optional,dict" sql:"VARCHAR" doc:"the other end"`
	DstPort   int32    `parquet:"dst_port,optional,dict" sql:"INTEGER" doc:"its port"`
	Proto     int32    `parquet:"proto,optional,dict" sql:"INTEGER" doc:"IANA protocol number"`
	Community string   `parquet:"community_id,optional,dict" sql:"VARCHAR" doc:"Community ID v1 of the flow"`
	Inbound   *bool    `parquet:"inbound,optional" sql:"BOOLEAN" doc:"opened from outside"`
	BytesSrc  int64    `parquet:"bytes_src,optional" sql:"BIGINT" doc:"sent by src"`
	BytesDst  int64    `parquet:"bytes_dst,optional" sql:"BIGINT" doc:"sent by dst"`
	App       string   `parquet:"app,optional,dict" sql:"VARCHAR" doc:"protocol recognised"`
	Method    string   `parquet:"method,optional,dict" sql:"VARCHAR" doc:"HTTP method, or how a login was proved"`
	URI       string   `parquet:"uri,optional,dict" sql:"VARCHAR" doc:"as on the wire, secrets hashed"`
	HostHdr   string   `parquet:"host_header,optional,dict" sql:"VARCHAR" doc:"HTTP Host"`
	Status    int32    `parquet:"status,optional,dict" sql:"INTEGER" doc:"HTTP status"`
	UserAgent string   `parquet:"user_agent,optional,dict" sql:"VARCHAR" doc:"HTTP User-Agent"`
	Script    string   `parquet:"script,optional,dict" sql:"VARCHAR" doc:"SCRIPT_FILENAME that served it"`
	Domain    string   `parquet:"domain,optional,dict" sql:"VARCHAR" doc:"DNS name asked, or TLS server name"`
	Answers   string   `parquet:"answers,optional,dict" sql:"VARCHAR" doc:"DNS answers, joined by one space"`
	User      string   `parquet:"user,optional,dict" sql:"VARCHAR" doc:"user who logged in"`
	Outcome   string   `parquet:"outcome,optional,dict" sql:"VARCHAR" doc:"success or failure"`
	Service   string   `parquet:"service,optional,dict" sql:"VARCHAR" doc:"service asked for a login; unit of a log line"`
	JA3       string   `parquet:"ja3,optional,dict" sql:"VARCHAR" doc:"TLS client"`
	JA3S      string   `parquet:"ja3s,optional,dict" sql:"VARCHAR" doc:"TLS server"`
	JA4       string   `parquet:"ja4,optional,dict" sql:"VARCHAR" doc:"TLS client"`
	Hassh     string   `parquet:"hassh,optional,dict" sql:"VARCHAR" doc:"SSH client"`
	Cert      string   `parquet:"cert_sha256,optional,dict" sql:"VARCHAR" doc:"TLS server certificate"`
	Finding   string   `parquet:"finding_id,optional" sql:"VARCHAR" doc:"id of the finding"`
	Layer     string   `parquet:"layer,optional,dict" sql:"VARCHAR" doc:"network, file, behaviour, intel"`
	Stage     string   `parquet:"stage,optional,dict" sql:"VARCHAR" doc:"stage of the finding; observe, shadow or enforce of an action"`
	Rule      string   `parquet:"rule,optional,dict" sql:"VARCHAR" doc:"rule that spoke; kind of an action or a loss"`
	Title     string   `parquet:"title,optional,dict" sql:"VARCHAR" doc:"for people"`
	Score     *float64 `parquet:"score,optional" sql:"DOUBLE" doc:"calibrated probability of being malicious"`
	Colour    string   `parquet:"colour,optional,dict" sql:"VARCHAR" doc:"white, grey, black"`
	Technique string   `parquet:"techniques,optional,dict" sql:"VARCHAR" doc:"ATT&CK ids, joined by one space"`
	Incident  string   `parquet:"incident,optional,dict" sql:"VARCHAR" doc:"incident an action serves"`
	Action    string   `parquet:"action_id,optional" sql:"VARCHAR" doc:"id of the action"`
	State     string   `parquet:"state,optional,dict" sql:"VARCHAR" doc:"of an action or a sensor"`
	Lost      int64    `parquet:"lost,optional" sql:"BIGINT" doc:"events not seen, of a loss window"`
	Detail    string   `parquet:"detail,optional,dict" sql:"VARCHAR" doc:"what else there is: log line, reason, capability, package"`
	Event     []byte   `parquet:"event" sql:"BLOB" doc:"the whole protobuf, unknown fields unharmed"`
	Arrival   int64    `parquet:"arrival,delta" sql:"BIGINT" since:"2" doc:"place in the order in which the brain judged; 0: it did not"`
	Published int64    `parquet:"published_ns,optional" sql:"BIGINT" since:"2" doc:"when a finding left the judge, ns since 1970"`
}

// Column is one column of the view events (or raw, for the last).
type Column struct {
	Name  string
	Type  string // DuckDB's name of it
	Since int    // schema version that brought it
	Doc   string
}

// Columns lists the columns of a table in the order of the file.
func Columns(name Table) []Column {
	t := reflect.TypeFor[row]()
	if name == Edges {
		t = reflect.TypeFor[edgeRow]()
	}
	out := make([]Column, 0, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("parquet"), ",")
		since, err := strconv.Atoi(cmp.Or(f.Tag.Get("since"), "1"))
		if err != nil {
			panic(err) // a tag above is mistyped
		}
		out = append(out, Column{Name: name, Type: f.Tag.Get("sql"), Since: since, Doc: f.Tag.Get("doc")})
	}
	return out
}

// newRow flattens e; blob is e's whole encoding.
func newRow(e *event.Event, blob []byte) *row {
	r := &row{
		Host: e.Host, Epoch: int64(e.Epoch), Seq: int64(e.Seq),
		Time: floorDiv(e.WallNs, 1000), TimeNs: e.WallNs, BootNs: int64(e.BootNs), Arrival: int64(e.Arrival),
		Kind: e.Kind(), Class: int32(e.ClassUid), Activity: int32(e.ActivityId),
		Sensor: strings.ToLower(e.Sensor.String()), Event: blob,
	}
	r.actor(e.Actor)
	r.payload(e)
	return r
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func ptr(n uint32) *int32 {
	v := int32(n)
	return &v
}

func (r *row) actor(p *entity.Process) {
	if p == nil {
		return
	}
	r.Pid, r.StartNs, r.UID = ptr(p.Pid), int64(p.StartNs), ptr(p.Uid)
	r.Comm, r.Exe, r.Container = p.Comm, p.Exe, p.Container
}

func (r *row) file(f *entity.File) {
	if f == nil {
		return
	}
	r.Path, r.Inode, r.Size, r.Sha256 = f.Path, int64(f.Inode), int64(f.Size), f.Sha256
}

func (r *row) flow(f *entity.Flow) {
	if f == nil {
		return
	}
	if a := entity.Addr(f.SrcIp); a.IsValid() {
		r.SrcIP = a.String()
	}
	if a := entity.Addr(f.DstIp); a.IsValid() {
		r.DstIP = a.String()
	}
	r.SrcPort, r.DstPort, r.Proto = int32(f.SrcPort), int32(f.DstPort), int32(f.Proto)
	if r.Community == "" {
		r.Community = f.CommunityID()
	}
}

func (r *row) payload(e *event.Event) {
	switch p := e.Payload.(type) {
	case *event.Event_Process:
		r.process(p.Process)
	case *event.Event_File:
		r.file(p.File.GetFile())
		r.NewPath = p.File.GetNewPath()
	case *event.Event_Kernel:
		r.Detail = p.Kernel.GetDetail()
	case *event.Event_Network:
		n := p.Network
		r.Community = n.GetCommunityId()
		r.flow(n.GetFlow())
		in := n.GetInbound()
		r.Inbound, r.BytesSrc, r.BytesDst, r.App = &in, int64(n.GetBytesSrc()), int64(n.GetBytesDst()), n.GetApp()
	case *event.Event_Channel:
		r.Path, r.Inode = p.Channel.GetPath(), int64(p.Channel.GetInodeA())
		if p.Channel.GetPeerPid() != 0 {
			r.TPid = ptr(p.Channel.GetPeerPid())
		}
	case *event.Event_Http:
		r.http(p.Http)
	case *event.Event_Dns:
		r.flow(p.Dns.GetFlow())
		r.Domain, r.Answers, r.Detail = entity.Domain(p.Dns.GetName()), strings.Join(p.Dns.GetAnswers(), " "), p.Dns.GetRcode()
	case *event.Event_Tls:
		t := p.Tls
		r.flow(t.GetFlow())
		r.JA3, r.JA3S, r.JA4, r.Cert, r.Domain = t.GetJa3(), t.GetJa3S(), t.GetJa4(), t.GetCertSha256(), entity.Domain(t.GetSni())
	case *event.Event_Ssh:
		r.flow(p.Ssh.GetFlow())
		r.Hassh, r.Detail = p.Ssh.GetHassh(), p.Ssh.GetClientBanner()
	case *event.Event_Auth:
		a := p.Auth
		r.flow(a.GetFlow())
		r.User, r.Service, r.Method = a.GetUser(), a.GetService(), a.GetMethod()
		r.Outcome = strings.ToLower(strings.TrimPrefix(a.GetOutcome().String(), "OUTCOME_"))
	case *event.Event_Inventory:
		r.flow(p.Inventory.GetFlow())
		r.Title, r.Detail = p.Inventory.GetName(), strings.TrimSpace(p.Inventory.GetVersion()+" "+p.Inventory.GetDetail())
	case *event.Event_Log:
		r.Path, r.Service, r.Detail = p.Log.GetSource(), p.Log.GetUnit(), p.Log.GetLine()
	case *event.Event_State:
		r.Title, r.State, r.Detail = p.State.GetComponent(), p.State.GetState(), p.State.GetReason()
	case *event.Event_Loss:
		r.Title, r.Rule, r.Lost, r.Detail = p.Loss.GetSensor(), p.Loss.GetClass(), int64(p.Loss.GetCount()), p.Loss.GetReason()
	case *event.Event_Finding:
		r.finding(p.Finding)
	case *event.Event_Action:
		a := p.Action
		r.Action, r.Rule, r.State, r.Title = a.GetId(), a.GetKind(), a.GetState(), a.GetTarget()
		r.Detail, r.Incident, r.Stage = a.GetReason(), a.GetIncident(), a.GetStage()
	}
}

func (r *row) process(p *event.ProcessActivity) {
	r.Argv, r.Cwd, r.Detail = strings.Join(p.GetArgv(), " "), p.GetCwd(), p.GetDetail()
	if q := p.GetParent(); q != nil {
		r.PPid, r.PStartNs, r.PExe = ptr(q.Pid), int64(q.StartNs), q.Exe
	}
	if q := p.GetTarget(); q != nil {
		r.TPid, r.TStartNs = ptr(q.Pid), int64(q.StartNs)
	}
	if p.GetOp() == event.ProcessActivity_EXIT {
		code := p.GetExitCode()
		r.ExitCode = &code
	}
	r.file(p.GetImage())
}

func (r *row) http(h *event.HttpActivity) {
	q := h.GetRequest()
	r.flow(q.GetFlow())
	r.Method, r.URI, r.HostHdr = q.GetMethod(), q.GetUri(), q.GetHost()
	r.Status, r.UserAgent, r.Script = int32(h.GetStatus()), h.GetUserAgent(), h.GetScript()
	r.Sha256, r.Size = h.GetBodySha256(), int64(h.GetBodyLen())
	if up := h.GetUploads(); len(up) > 0 && r.Sha256 == "" {
		r.Sha256 = up[0].GetSha256()
	}
}

func (r *row) finding(f *verdict.Finding) {
	score := f.GetScore()
	r.Published = f.GetPublishedNs()
	r.Finding, r.Layer, r.Stage, r.Rule, r.Title = f.GetId(), f.GetLayer(), f.GetStage(), f.GetRule(), f.GetTitle()
	r.Score, r.Colour, r.Technique = &score, strings.ToLower(f.GetColour().String()), strings.Join(f.GetTechniques(), " ")
	if s := f.GetSubjects(); len(s) > 0 {
		if r.Pid == nil {
			r.actor(s[0].GetProcess())
		}
		r.file(s[0].GetFile())
		r.flow(s[0].GetFlow())
		r.flow(s[0].GetRequest().GetFlow())
	}
}
