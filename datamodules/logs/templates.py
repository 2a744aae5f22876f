"""What the generated log says: messages of a cluster's services, the ones that mean trouble, and the words in them.

A template is `service: message`; `{slot}` is filled with something drawn for each line.
"""


def _words(text: str) -> list[str]:
    return text.split()


SURNAMES = _words("""
abbott adeyemi aguilar ahmed akhtar alonso anders arslan baker baptiste bauer becker bell bennett berg bianchi blanc
bose braun brooks bruno burke castro chandra chen choi clark costa cruz dahl danso davies diaz dogan dubois eklund
ellis esposito farah ferrari fischer flores fofana foster fuchs garcia gauthier geller gomez greco gupta haas hansen
hayashi hoffmann horvat hughes ibrahim ito ivanov jansen jensen joshi kaya keller khan kim kimura klein koch kovacs
kowalski krause kumar lambert larsen lehmann lewis lindberg lopez mahmoud marin martin mehta mensah meyer morales
moretti mueller murphy nakamura ndiaye nguyen nielsen novak nowak okafor olsen ortiz osei park patel pereira petrov
popescu quinn ramos rao reyes ricci rossi roux russo saito santos sato schmidt schulz sharma silva singh smirnov sousa
suzuki tanaka thapa torres traore turner vargas vega virtanen vogel wagner walker wang weber wilson wright yamada
yilmaz young zhang zimmer
""")
TOPICS = _words("""
aerosol airfoil alloy battery bridge brain cell climate coast comet crystal dune earth enzyme fire flood flow fluid
forest fusion galaxy gas genome glacier graph groundwater heart impact isotope jet laser lattice lens light magnet
mantle market membrane mesh methane monsoon neuron noise nozzle ocean orbit ozone particle plasma polymer powder
protein quake radar reactor river rna rotor salt seismic shock signal soil solar spin storm stress text tide tissue
traffic turbine vaccine virus volcano vortex wave weather wind
""")
TASKS = _words("""
align analysis assembly benchmark calibration cluster decay design diffusion dynamics embed ensemble fit forecast
growth inference inversion merge model moments optimise pipeline prepare ranking reduce refine render retrain sample
scan screening search segment sim solver sort spectra stats sweep test tracking train transport tuning validate
""")
QUEUES = _words("batch short long debug gpu highmem interactive nightly preempt urgent visual teaching")
TABLES = _words("""
accounts allocations audit bookings budgets calendars carts comments contracts datasets devices documents events
experiments filters grants groups images inventory invoices jobs keys licences locations logins members messages
metrics models notes orders payments permissions plots prices products profiles projects publications quotas reports
reviews roles runs samples schedules sensors sessions settings shipments spectra tags teams tickets tokens uploads
vouchers
""")
MOUNTS = _words("scratch home projects archive software backup")
DEVICES = _words("sda sdb sdc sdd nvme0n1 nvme1n1 md0 dm-3")
LINKS = _words("eth0 eth1 ib0 ib1 bond0 br0")
PARTS = _words("cart catalogue checkout dashboard docs gallery login portal profile search status upload")
MODULES = _words("""
openmpi fftw petsc cuda gcc llvm hdf netcdf julia matlab gromacs lammps namd amber orca vasp quantum-espresso siesta
abinit cp2k openfoam su2 paraview visit blender octave trilinos hypre metis scotch boost eigen magma tensorflow
pytorch jax keras spark dask ray snakemake nextflow samtools blast bowtie bwa
""")

NORMAL_TEMPLATES = """
web: get {url} 200 {n} bytes in {ms} ms
scheduler: heartbeat from {n} nodes, {n} idle, queue {queue} has {n} jobs
dhcpd: lease {ip} renewed for {mac} via {link}
sshd: accepted publickey for {user} from {ip} port {n} ssh2
storage: scrub of pool {mount} at {n} %, no errors found
kernel: {link}: link is up at {n} mbit, full duplex
scheduler: job {id} started on {n} cores, queue {queue}
db: checkpoint complete, wrote {n} buffers in {ms} ms
sshd: session closed for user {user}
web: post {url} 201 {n} bytes in {ms} ms
cron: running hourly maintenance of {mount}
scheduler: job {id} finished with exit code 0 after {n} s
ntpd: offset {x} ms to server {ip}, stratum {n}
storage: snapshot of {mount} taken at {date}, {n} blocks
auth: ticket granted to {user} for service {part}
db: autovacuum of table {table} removed {n} rows in {ms} ms
net: route to {ip} via {link} confirmed, metric {n}
kernel: cpu {n} temperature {n} c is below the limit again
scheduler: job {id} of user {user} queued as {job} in {queue}
web: session of {user} renewed until {date}
storage: client {ip} mounted {path} read only
sshd: connection closed by {ip} port {n}
db: slow query on {table} took {ms} ms, plan cached
cron: backup of {mount} wrote {n} files to {path}
net: firewall dropped {n} packets from {ip} on {link}
auth: password of {user} expires in {n} days
scheduler: reservation {id} for project {topic} begins at {date}
kernel: {device}: write cache enabled, {n} queues
web: template {part} compiled in {ms} ms
modules: loaded {module} version {n} for {user}
storage: quota of {user} on {mount} at {n} %
dhcpd: discover from {mac} via {link}, offered {ip}
db: replica {ip} is {n} bytes behind
ntpd: clock step of {x} ms applied
scheduler: node {host} drained for planned maintenance
web: get {url} 404 page not found
auth: failed password for {user} from {ip} port {n}, attempt {n} of 5
net: neighbour {ip} on {link} state changed to established
kernel: usb device {hex} attached to hub {n}
storage: rebalance of {mount} moved {n} objects
cron: rotated {path}, kept {n} old files
db: index on {table} rebuilt in {ms} ms
scheduler: job {id} held by policy of queue {queue}
web: cache miss for {part}, fetched from backend {ip}
monitor: disk usage of {path} is {n} %
monitor: load average {x} {x} {x}
auth: user {user} added to group {topic}
kernel: process {n} ({task}) raised its file limit to {n}
sshd: received disconnect from {ip} port {n}: disconnected by user
net: arp cache of {link} flushed, {n} entries
storage: slow request on {device}, {ms} ms, completed
db: connection pool at {n} of {n}, waiting {ms} ms
web: certificate of {part} renewed, serial {hex}
modules: {module} replaced {module} in the environment of {user}
scheduler: backfill considered {n} jobs in {ms} ms
monitor: fan {n} at {n} rpm
cron: indexed documents of {topic} in {n} s
scheduler: array {job} expanded to {n} tasks
storage: file {path} restored from the archive
kernel: mce: corrected memory error at {hex}, bank {n}
""".strip().splitlines()
"""From the most frequent one to the rarest."""

RARE_TEMPLATES = """
monitor: battery of controller {n} starts its learning cycle
net: switch {ip} asks for a firmware update to release {n}
kernel: hotplug added {n} mb of memory
db: table {table} altered by {user}, {n} columns
storage: tape {hex} mounted in drive {n}
auth: certificate authority signed request {hex} of {user}
web: maintenance page of {part} switched on by {user}
scheduler: fair share tree recomputed for {n} accounts
ntpd: leap second announced for {date}
cron: yearly report of {topic} sent to {user}
modules: {module} {n} installed to {path} by {user}
dhcpd: pool of {link} resized to {n} addresses
""".strip().splitlines()
"""Normal, but met a few times in a whole log."""

ALERTS: dict[str, list[str]] = {
    "DISK": [
        "kernel: {device}: unrecovered read error, sector {n} remapping failed",
        "kernel: buffer i/o error on device {device}, logical block {n}",
        "storage: pool {mount} degraded, {n} objects unreadable on {device}",
        "storage: checksum mismatch on {device} block {n}: expected {hex}, got {hex}",
    ],
    "MEMORY": [
        "kernel: out of memory: killed process {n} ({task}), anon-rss {n} kb",
        "kernel: {task} invoked oom-killer, order {n}",
        "kernel: mce: uncorrected memory error at {hex}, page offlined",
        "scheduler: job {id} exceeded its memory limit and was killed",
    ],
    "ATTACK": [
        "sshd: maximum authentication attempts exceeded for invalid user {odd} from {ip} port {n}",
        "sshd: possible break-in attempt: reverse mapping for {ip} does not match",
        "auth: account {user} locked after {n} failures from {n} addresses",
        "auth: user {user} gained root without a ticket",
    ],
    "SEGFAULT": [
        "kernel: {task}[{n}]: segfault at {hex} ip {hex} sp {hex} error {n} in {module}.so",
        "kernel: traps: {task}[{n}] general protection fault, core dumped to {path}",
        "scheduler: job {id} terminated by signal {n}, segmentation violation",
    ],
    "TRACE": [
        "web: unhandled exception in {part}: null pointer dereferenced at line {n}",
        "web: at com.portal.{part}.handler.process(handler.java:{n})",
        "web: caused by: stack overflow while parsing {table}, {n} frames omitted",
        'modules: traceback (most recent call last): file "{path}", line {n}, in {task}',
    ],
    "NETWORK": [
        "kernel: {link}: carrier lost, transmit queue {n} hung, resetting adapter",
        "net: duplicate address {ip} detected on {link}, claimed by {mac}",
        "net: routing loop to {ip}, {n} hops, {link} disabled",
        "dhcpd: no free leases on {link}, {n} clients refused",
    ],
    "CLOCK": [
        "ntpd: no server reachable, free running since {date}",
        "ntpd: time went backwards by {n} s, panic threshold exceeded",
        "auth: clock skew too great, ticket of {user} rejected",
    ],
    "INJECTION": [
        "web: get {url} 500 near union select password from {table}",
        "web: post {url} 403 script tag in field {task} of {part}",
        "web: get {url} 400 parameter {odd} holds encoded shell command",
        "db: syntax error near or true drop table {table}",
    ],
    "QUORUM": [
        "db: split brain: both {ip} and {ip} claim to be primary of {table}",
        "db: replica {ip} diverged at position {hex}, replication stopped",
        "scheduler: lost quorum, {n} of {n} controllers unreachable, refusing jobs",
    ],
    "THERMAL": [
        "kernel: cpu {n} temperature above threshold, throttled, emergency shutdown in {n} s",
        "monitor: fan {n} stopped, coolant pressure critical",
        "monitor: power supply {n} failed, voltage out of range",
    ],
}
"""Alert type -> its wordings. The generator makes two more types out of normal lines."""

ODD_VALUES = _words("""
nan inf null undefined (null) none %s %d $user <empty> ??? -nan overflow unknown-token @@@ __proto__ {{value}} #ref!
n/a void nil eof 1/0 truncated~
""")
"""Where a normal line has a number or a name, this is out of place."""
