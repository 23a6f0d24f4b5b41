# Completion for fish: source this.

function __trio_pool_chaos_meant
    set -l tokens (commandline -opc)
    if string match -q 'python*' (basename $tokens[1])
        test (count $tokens) -ge 3; and test "$tokens[2] $tokens[3]" = '-m chaos'
    end
end

function __trio_pool_chaos
    set -l tokens (commandline -opc)
    set -l current (commandline -ct)
    set -l call $tokens[1]
    set -e tokens[1]
    if string match -q 'python*' (basename $call)
        set -a call -m chaos
        set -e tokens[1..2]
    end
    for line in ($call __complete $tokens "$current" 2>/dev/null)
        switch $line
            case :files
                __fish_complete_path "$current"
            case :toml
                __fish_complete_suffix .toml
            case :directories
                __fish_complete_directories "$current"
            case '*'
                printf '%s\n' $line
        end
    end
end

for name in @NAMES@
    complete -c $name -n __trio_pool_chaos_meant -f -a '(__trio_pool_chaos)'
end
