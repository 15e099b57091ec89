# bash completion for svcops. What fits is asked of svcops itself, which looks at the project of the current folder;
# it connects to no host. Install: svcops completions bash > /etc/bash_completion.d/svcops

_svcops() {
    local line=${COMP_LINE:0:COMP_POINT} word kept what value about close=yes
    # bash breaks words at `=` and `:` too, and replaces only what follows the last of them: $2
    word=${line##*[[:space:]]}
    kept=${word%"$2"}
    COMPREPLY=()
    {
        IFS= read -r what || return
        while IFS=$'\t' read -r value about; do
            [[ $value == *[=/,] ]] && close=
            value=${value#"$kept"}
            [[ $value == *[[:space:]\"\'\\\$\`\;\&\|\<\>\(\)\*\?]* ]] && printf -v value %q "$value"
            COMPREPLY+=("$value")
        done
    } < <("${1/#\~/$HOME}" complete --line "$line" 2> /dev/null)
    case $what in
        files)
            compopt -o filenames 2> /dev/null
            while IFS= read -r value; do COMPREPLY+=("$value"); done < <(compgen -f -- "$2")
            ;;
        folders)
            compopt -o filenames 2> /dev/null
            while IFS= read -r value; do COMPREPLY+=("$value"); done < <(compgen -d -- "$2")
            ;;
    esac
    [[ $close ]] || compopt -o nospace 2> /dev/null
}

complete -o nosort -F _svcops svcops 2> /dev/null || complete -F _svcops svcops
