# fish completion for svcops. What fits is asked of svcops itself, which looks at the project of the current folder;
# it connects to no host. Install: svcops completions fish > ~/.config/fish/completions/svcops.fish

function __svcops
    set -l words (commandline -opc)
    set -l answer ($words[1] complete -- $words[2..-1] (commandline -ct) 2>/dev/null)
    switch "$answer[1]"
        case files
            __fish_complete_path (string replace -r -- '^--[^=]*=' '' (commandline -ct))
        case folders
            __fish_complete_directories (string replace -r -- '^--[^=]*=' '' (commandline -ct)) ''
    end
    set -q answer[2]; and printf '%s\n' $answer[2..-1]
end

complete -c svcops -f -k -a '(__svcops)'
