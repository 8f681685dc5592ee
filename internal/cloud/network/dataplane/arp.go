package dataplane

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// announce tells the edge by gratuitous ARP that the addresses are ours now:
// a public IP may come from another router, whose MAC address neighbours remember.
func announce(netnsPath string, mac net.HardwareAddr, addresses []netip.Addr) error {
	if len(addresses) == 0 {
		return nil
	}
	err := Inside(netnsPath, func() error {
		link, err := net.InterfaceByName(edgeLink)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		to := &unix.SockaddrLinklayer{Ifindex: link.Index}
		for _, addr := range addresses {
			if err := unix.Sendto(fd, gratuitousARP(mac, addr), 0, to); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("announce public addresses: %w", err)
	}
	return nil
}

// gratuitousARP is the Ethernet frame of an ARP request for addr by its owner (RFC 5227, 2.3).
func gratuitousARP(mac net.HardwareAddr, addr netip.Addr) []byte {
	const hardwareEthernet, operationRequest = 1, 1
	broadcast := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	frame := append(append([]byte{}, broadcast...), mac...)
	frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_ARP)
	frame = binary.BigEndian.AppendUint16(frame, hardwareEthernet)
	frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_IP)
	frame = append(frame, 6, 4)
	frame = binary.BigEndian.AppendUint16(frame, operationRequest)
	frame = append(frame, mac...)
	frame = append(frame, addr.AsSlice()...)
	frame = append(frame, make([]byte, 6)...)
	return append(frame, addr.AsSlice()...)
}
