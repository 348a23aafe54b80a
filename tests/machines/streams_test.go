package machines_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/gopacket/gopacket/reassembly"
	"github.com/klauspost/compress/zstd"
)

// streams are what passed by TCP, each direction of a connection by itself and in its order, by addresses and ports: "10.0.0.1:9092 > 10.0.0.2:40000". Connections after each other
// that have the same follow each other. What was begun before is there from its first packet on; what the capture lost is left out.
type streams map[string][]byte

// streamed puts the TCP streams of a capture together.
func streamed(t *testing.T, capture []byte) streams {
	t.Helper()
	found := streams{}
	packets, err := pcapgo.NewReader(bytes.NewReader(capture))
	if err != nil {
		t.Fatal(err)
	}
	assembler := reassembly.NewAssembler(reassembly.NewStreamPool(found))
	for {
		data, info, err := packets.ReadPacketData()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // tcpdump may be ended within a packet
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		packet := gopacket.NewPacket(data, packets.LinkType(), gopacket.DecodeOptions{Lazy: true, NoCopy: true})
		if segment, ok := packet.Layer(layers.LayerTypeTCP).(*layers.TCP); ok && packet.NetworkLayer() != nil {
			assembler.AssembleWithContext(packet.NetworkLayer().NetworkFlow(), segment, seen(info))
		}
	}
	assembler.FlushAll()
	return found
}

// seen says when a packet passed.
type seen gopacket.CaptureInfo

func (s seen) GetCaptureInfo() gopacket.CaptureInfo { return gopacket.CaptureInfo(s) }

// New is a connection's, of which the flows are the first packet's.
func (s streams) New(network, ports gopacket.Flow, _ *layers.TCP, _ reassembly.AssemblerContext) reassembly.Stream {
	from, to := network.Src().String()+":"+ports.Src().String(), network.Dst().String()+":"+ports.Dst().String()
	return &connection{all: s, names: map[reassembly.TCPFlowDirection]string{reassembly.TCPDirClientToServer: from + " > " + to, reassembly.TCPDirServerToClient: to + " > " + from}}
}

type connection struct {
	all   streams
	names map[reassembly.TCPFlowDirection]string
}

// Accept takes every packet, those of a connection that was there before the capture, too.
func (c *connection) Accept(_ *layers.TCP, _ gopacket.CaptureInfo, _ reassembly.TCPFlowDirection, _ reassembly.Sequence, start *bool, _ reassembly.AssemblerContext) bool {
	*start = true
	return true
}

func (c *connection) ReassembledSG(part reassembly.ScatterGather, _ reassembly.AssemblerContext) {
	direction, _, _, _ := part.Info() //nolint:dogsled // the library gives four
	n, _ := part.Lengths()
	c.all[c.names[direction]] = append(c.all[c.names[direction]], part.Fetch(n)...)
}

func (c *connection) ReassemblyComplete(reassembly.AssemblerContext) bool { return true }

// standing are the words that stand in streams, as they are or in what zstd has packed, by the stream; one a stream.
func (s streams) standing(p *packs, words []string) map[string]string {
	found := map[string]string{}
	for name, data := range s {
		if word := p.standing(data, words); word != "" {
			found[name] = word
		}
	}
	return found
}

// size is that of all together.
func (s streams) size() (n int) {
	for _, data := range s {
		n += len(data)
	}
	return n
}

// segment is a part of a stream, as a packet carries it.
type segment struct {
	at   int // its first byte in the stream
	data string
}

// record is a capture of segments that a client sends a server in a connection, of which no beginning was seen if it is not whole.
func record(t *testing.T, whole bool, segments ...segment) []byte {
	t.Helper()
	var out bytes.Buffer
	w := pcapgo.NewWriter(&out)
	if err := w.WriteFileHeader(65536, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	const first = 0xfffffff0 // sequence numbers begin anew soon
	packet := func(tcp layers.TCP, data string) {
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: []byte{10, 0, 0, 1}, DstIP: []byte{10, 0, 0, 2}}
		tcp.SrcPort, tcp.DstPort, tcp.Window = 40000, 8443, 65535
		if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		b := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
			&layers.Ethernet{SrcMAC: make([]byte, 6), DstMAC: make([]byte, 6), EthernetType: layers.EthernetTypeIPv4}, ip, &tcp, gopacket.Payload(data)); err != nil {
			t.Fatal(err)
		}
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(1, 0), CaptureLength: len(b.Bytes()), Length: len(b.Bytes())}, b.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	if whole {
		packet(layers.TCP{SYN: true, Seq: first - 1}, "")
	}
	for _, s := range segments {
		packet(layers.TCP{ACK: true, Seq: uint32(first + s.at)}, s.data)
	}
	return out.Bytes()
}

// TestAWordIsFoundHoweverItPasses is the control of what is put together of packets.
func TestAWordIsFoundHoweverItPasses(t *testing.T) {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	packed := string(w.EncodeAll([]byte(strings.Repeat("some text, ", 1000)+"the word"), nil))
	half := len(packed) / 2
	for name, tt := range map[string]struct {
		capture []byte
		found   bool
	}{
		"in one segment":                              {record(t, true, segment{0, "here is the word."}), true},
		"split over two":                              {record(t, true, segment{0, "here is the wo"}, segment{14, "rd."}), true},
		"split over two of a connection begun":        {record(t, false, segment{0, "here is the wo"}, segment{14, "rd."}), true},
		"over two, of which the second is first":      {record(t, true, segment{14, "rd."}, segment{0, "here is the wo"}), true},
		"over two, of which the first is sent again":  {record(t, true, segment{0, "here is the wo"}, segment{0, "here is the wo"}, segment{14, "rd."}), true},
		"over two, of which the second repeats a bit": {record(t, true, segment{0, "here is the wo"}, segment{8, "the word."}), true},
		"over many, past the last sequence number":    {record(t, true, segment{0, strings.Repeat(" ", 30)}, segment{30, "the "}, segment{34, "word"}), true},
		"packed, over two":                            {record(t, true, segment{0, packed[:half]}, segment{half, packed[half:]}), true},
		"not at all":                                  {record(t, true, segment{0, "here is the wo"}, segment{14, "!"}, segment{0, "here is the wo"}, segment{15, "rd"}), false},
		"torn by what was lost":                       {record(t, true, segment{0, "here is the "}, segment{2000, "word"}), true}, // rather found than missed
	} {
		found := streamed(t, tt.capture).standing(newPacks(t), []string{"no", "the word"})
		if (found["10.0.0.1:40000 > 10.0.0.2:8443"] == "the word") != tt.found || len(found) > 1 {
			t.Errorf("the word %s: found %q, want it found: %v", name, slices.Collect(maps.Keys(found)), tt.found)
		}
	}
}
