# Asked of a host before anything else is: it takes nothing but a shell. The caller sets $dir (where isobench is
# to be), $python (which one it is to run on; empty: the first that is new enough), $stamp, $account
# (whose home is told) and $now (seconds since 1970, by the clock of the caller).
say() { printf 'isobench_%s=%s\n' "$1" "$2"; }

say offset "$(($(date +%s) - now))"
say uid "$(id -u)"
say machine "$(uname -m)"
say init "$(cat /proc/1/comm 2>/dev/null)"

ID='' ID_LIKE='' VERSION_ID='' PRETTY_NAME=''
[ -r /etc/os-release ] && . /etc/os-release
say id "$ID"
say like "$ID_LIKE"
say release "${VERSION_ID%%.*}"
say name "${PRETTY_NAME:-an unknown system}"

# A Python for Ansible, and the one for isobench.
say any_python "$(command -v python3 || ls /usr/libexec/platform-python 2>/dev/null)"
for name in ${python:-python3 python3.14 python3.13 python3.12 python3.11}; do
    path=$(command -v "$name") || continue
    version=$("$path" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    "$path" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || continue
    say python "$path"
    say version "$version"
    break
done
say installed "$(cat "$dir/$stamp" 2>/dev/null)"

say home "$(getent passwd -- "$account" 2>/dev/null | cut -d: -f6)"
say settings "$(ls "$dir/settings.json" 2>/dev/null)"

say controllers "$(cat /sys/fs/cgroup/cgroup.controllers 2>/dev/null ||
    while read -r name _ _ on; do [ "$on" = 1 ] && printf '%s ' "$name"; done < /proc/cgroups)"

while [ ! -d "$dir" ]; do dir=$(dirname "$dir"); done
say free_in "$dir"
df -Pk "$dir" | { read -r _; read -r _ _ _ free _; say free_kb "$free"; }
