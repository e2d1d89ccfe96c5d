// SPDX-License-Identifier: Apache-2.0

// Package sigma compiles Sigma rules (specification 2.1.0 of 2025-08-02) and matches them against events.
//
// In go rule files as their authors wrote them and events behind the small interface Fields; out come the
// rules that match, with author, licence and ATT&CK techniques. Rules of others are never part of this
// repository: the operator names folders, and a rule that cannot be honoured in full is refused with file,
// line and reason rather than run as something weaker. Our own rules (Apache-2.0) are embedded, see Own.
//
// # How it is fast
//
// All plain values of a field (contains, startswith, endswith, whole) become one automaton (Aho and Corasick,
// CACM 18(6), 1975) with the two ends of the text as symbols of their own, so one pass over a field decides
// every plain value of every rule, without lower-casing it. Each rule names the rarest set of values of which
// one must be seen; only rules so called up are evaluated. What no automaton can decide (regular expressions,
// inner wildcards, addresses, numbers) is looked at only when the rule is called up, once per event.
//
// # What it believes
//
// Values ignore case (Unicode simple folding), except after `cased` and in regular expressions. A missing field
// fails every test but `null` and `exists: false`; `neq` wants the field to be there and to differ from all
// values. Keywords search Fields.Keywords. A filter (a document with `filter:`) takes away what its condition
// describes; a condition that begins with `not` describes what is kept, as pySigma reads it, and both ways of
// writing come to the same.
//
// # Worst trap
//
// A field that a sensor never fills looks, to a rule that asks for `null`, like a field that is absent. Give
// Options.Sensors: rules that hang on such a field are reported in Report.NeverFires and are not run.
//
// # Fields asked for, by log source
//
//	process_creation/linux    Image CommandLine ParentImage ParentCommandLine User CurrentDirectory LogonId
//	                          and ours: StdinKind StdoutKind (socket, listener, unix, pipe, tty, file, null, other),
//	                          ImageUnlinked ("true": memfd or deleted file), Ancestors (images from the parent
//	                          upwards, joined by spaces, at least 3 where known), Convicted ("true": the
//	                          process, its log-in or one above it is part of an intrusion already)
//	file_event/linux          TargetFilename Image User, ours: ParentImage Ancestors Convicted
//	file_access/linux         the same, for reads of listed sensitive paths
//	process_access/linux      SourceImage SourceUser TargetImage TargetUser GrantedAccess (the ptrace request)
//	network_connection/linux  Image CommandLine User DestinationIp DestinationPort DestinationHostname SourceIp
//	                          SourcePort Initiated ("true" for connect, "false" for accept) Protocol,
//	                          ours: Ancestors Convicted
//	linux/auditd (service)    type (EXECVE, SYSCALL, PATH …) a0..a7 exe comm name nametype SYSCALL key euid
//	webserver, proxy          cs-method c-uri cs-uri cs-uri-stem cs-uri-query c-uri-extension c-uri-query sc-status
//	                          cs-host cs-referer cs-cookie cs-username c-ip src_ip, and the user agent under both
//	                          names in use, c-useragent and cs-user-agent
//	dns                       query record_type answer
//	firewall                  action src_ip src_port dst_ip dst_port
//	linux (product only), sshd, auth, sudo, cron …   Keywords: the raw line
//
// StdinKind is "socket" only for a connected internet socket: a listening one is "listener", because workers
// started by a supervisor may hand their listening socket down as descriptor 0.
package sigma
