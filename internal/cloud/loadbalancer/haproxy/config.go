package haproxy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
)

// Long connections (watch, exec) must survive; keepalive ends those whose peer
// is gone, and one thread with few buffers keeps a process at some 10 MB.
const preamble = `global
	stats socket %s mode 600 level admin expose-fd listeners
	user haproxy
	group haproxy
	maxconn 4096
	no strict-limits
	nbthread 1
	hard-stop-after 12h
	server-state-file %s

defaults
	mode tcp
	load-server-state-from-file global
	maxconn 4000
	balance roundrobin
	option clitcpka
	option srvtcpka
	clitcpka-idle 60s
	clitcpka-intvl 15s
	clitcpka-cnt 4
	srvtcpka-idle 60s
	srvtcpka-intvl 15s
	srvtcpka-cnt 4
	option redispatch 1
	retries 3
	timeout connect 2s
	timeout client 2h
	timeout server 2h
	timeout tunnel 24h
	timeout client-fin 30s
	timeout server-fin 30s
`

// skeleton renders everything that can only be changed by a reload, with a mark
// where the servers of each backend go.
func skeleton(spec Spec, dir string) string {
	var b strings.Builder
	fmt.Fprintf(&b, preamble, filepath.Join(dir, socketFile), filepath.Join(dir, stateFile))
	for _, l := range spec.Listeners {
		fmt.Fprintf(&b, "\nfrontend %s\n", l.ID)
		for _, address := range []netip.Addr{spec.VIP, spec.Public} {
			if address.IsValid() {
				fmt.Fprintf(&b, "\tbind %s%s\n", netip.AddrPortFrom(address, uint16(l.Port)), bindOptions(l, dir))
			}
		}
		fmt.Fprintf(&b, "\ttcp-request connection reject if !{ src,map_ip(%s) -m str allow }\n", filepath.Join(dir, mapFile))
		fmt.Fprintf(&b, "\tdefault_backend %s\n", l.BackendID)
	}
	for _, backend := range spec.Backends {
		fmt.Fprintf(&b, "\nbackend %s\n", backend.ID)
		if spec.VIP.IsValid() {
			fmt.Fprintf(&b, "\tsource %s\n", spec.VIP)
		}
		if check := backend.Check; check != nil {
			fmt.Fprintf(&b, "\ttimeout check %dms\n", check.Timeout.Milliseconds())
			if check.HTTP {
				fmt.Fprintf(&b, "\toption httpchk\n\thttp-check send meth GET uri %s\n\thttp-check expect status %d\n", check.Path, check.Status)
			}
		}
		fmt.Fprintf(&b, "\t# servers:%s\n", serverOptions(backend))
	}
	return b.String()
}

// bindOptions name the certificate by its content, so that another one is another configuration.
func bindOptions(l Listener, dir string) string {
	if l.Certificate == "" {
		return ""
	}
	return " ssl crt " + filepath.Join(dir, certificateFile(l.Certificate))
}

const certificatePrefix = "certificate-"

func certificateFile(content string) string { return certificatePrefix + fingerprint(content) + ".pem" }

func serverOptions(backend Backend) string {
	options := ""
	if check := backend.Check; check != nil {
		options += fmt.Sprintf(" check port %d inter %dms rise %d fall %d", check.Port, check.Interval.Milliseconds(), check.Rise, check.Fall)
	}
	if backend.CloseOnFailure {
		options += " on-marked-down shutdown-sessions"
	}
	return options
}

// fill puts the servers into a skeleton.
func fill(skeleton string, spec Spec) string {
	var b strings.Builder
	current := ""
	for line := range strings.Lines(skeleton) {
		b.WriteString(line)
		if name, ok := strings.CutPrefix(line, "backend "); ok {
			current = strings.TrimSpace(name)
		}
		if !strings.HasPrefix(line, "\t# servers:") {
			continue
		}
		i := slices.IndexFunc(spec.Backends, func(backend Backend) bool { return backend.ID == current })
		for _, target := range spec.Backends[i].Targets {
			fmt.Fprintf(&b, "\tserver %s %s%s\n", target.ID, target.Address, serverOptions(spec.Backends[i]))
		}
	}
	return b.String()
}

func fingerprint(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

var everyone = netip.MustParsePrefix("0.0.0.0/0")

// aclMap renders the table from source ranges to allow or deny. HAProxy looks
// for the longest prefix.
func aclMap(spec Spec) string {
	rest := !spec.DenyRest
	verdicts := map[netip.Prefix]bool{}
	for _, acl := range spec.ACLs {
		if acl.Allow {
			rest = false
		}
		if !acl.Source.Addr().Is4() {
			continue // nobody comes from there
		}
		source := acl.Source.Masked()
		before, twice := verdicts[source]
		verdicts[source] = acl.Allow && (!twice || before) // of two opposite entries, denial wins
	}
	if _, given := verdicts[everyone]; !given {
		verdicts[everyone] = rest
	}
	lines := make([]string, 0, len(verdicts))
	for source, allow := range verdicts {
		verdict := "deny"
		if allow {
			verdict = "allow"
		}
		lines = append(lines, source.String()+" "+verdict+"\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}
