; The installer for Windows (Inno Setup 6), for one user, without administrator's rights:
;   iscc /DVersion=0.1.0 /DPrograms=..\..\target\release packaging\windows\filefleet.iss
#ifndef Version
  #define Version "0.1.0"
#endif
#ifndef Programs
  #define Programs "..\..\target\release"
#endif

[Setup]
AppId={{6F0B3C52-0C57-4B0E-9E0B-5D1A4F0F7C11}
AppName=FileFleet
AppVersion={#Version}
AppPublisher=FileFleet
LicenseFile=..\..\LICENSE
DefaultDirName={autopf}\FileFleet
DisableProgramGroupPage=yes
PrivilegesRequired=lowest
ArchitecturesAllowed=x64compatible
ArchitecturesInstallIn64BitMode=x64compatible
ChangesEnvironment=yes
OutputBaseFilename=filefleet-{#Version}-windows-x86_64
Compression=lzma2
SolidCompression=yes
; The daemon is stopped below, in its own time.
CloseApplications=no

[Tasks]
Name: startup; Description: "Start FileFleet when I log in"
Name: sendto; Description: "Add FileFleet to the ""Send to"" menu"
Name: path; Description: "Let me use ffctl on the command line"

[Files]
Source: "{#Programs}\filefleetd.exe"; DestDir: "{app}"; Flags: ignoreversion
Source: "{#Programs}\ffctl.exe"; DestDir: "{app}"; Flags: ignoreversion
Source: "{#Programs}\filefleet-tray.exe"; DestDir: "{app}"; Flags: ignoreversion
Source: "..\..\LICENSE"; DestDir: "{app}"; DestName: "LICENSE.txt"
Source: "..\..\README.md"; DestDir: "{app}"

[Icons]
Name: "{autoprograms}\FileFleet"; Filename: "{app}\filefleet-tray.exe"; AppUserModelID: "FileFleet.FileFleet"
Name: "{userstartup}\FileFleet"; Filename: "{app}\filefleet-tray.exe"; Tasks: startup
; Explorer hands the chosen files over as arguments; the contact is asked for in the console.
Name: "{usersendto}\FileFleet"; Filename: "{app}\ffctl.exe"; Parameters: "send --choose"; Tasks: sendto

[Registry]
Root: HKCU; Subkey: "Environment"; ValueType: expandsz; ValueName: "Path"; ValueData: "{olddata};{app}"; \
  Check: IsNotInPath; Tasks: path

[Run]
Filename: "{app}\ffctl.exe"; Parameters: "service install"; Flags: runhidden; Tasks: startup
Filename: "{app}\ffctl.exe"; Parameters: "daemon start"; Flags: runhidden; Tasks: not startup
Filename: "{app}\filefleet-tray.exe"; Flags: nowait; Tasks: startup

[UninstallRun]
Filename: "{sys}\taskkill.exe"; Parameters: "/f /im filefleet-tray.exe"; Flags: runhidden; RunOnceId: "tray"
Filename: "{app}\ffctl.exe"; Parameters: "service uninstall"; Flags: runhidden; RunOnceId: "service"
Filename: "{app}\ffctl.exe"; Parameters: "daemon stop"; Flags: runhidden; RunOnceId: "daemon"

[Code]
function IsNotInPath(): Boolean;
var
  Path: string;
begin
  if not RegQueryStringValue(HKCU, 'Environment', 'Path', Path) then
    Path := '';
  Result := Pos(';' + Uppercase(ExpandConstant('{app}')) + ';', ';' + Uppercase(Path) + ';') = 0;
end;

{ A daemon of the version before lets its transfers come to a good point, then its file is free. }
function PrepareToInstall(var NeedsRestart: Boolean): String;
var
  ExitCode: Integer;
begin
  Exec(ExpandConstant('{sys}\taskkill.exe'), '/f /im filefleet-tray.exe', '', SW_HIDE, ewWaitUntilTerminated, ExitCode);
  if FileExists(ExpandConstant('{app}\ffctl.exe')) then
    Exec(ExpandConstant('{app}\ffctl.exe'), 'daemon stop', '', SW_HIDE, ewWaitUntilTerminated, ExitCode);
  Result := '';
end;

procedure CurUninstallStepChanged(Step: TUninstallStep);
var
  Path: string;
begin
  if (Step = usPostUninstall) and RegQueryStringValue(HKCU, 'Environment', 'Path', Path) then
  begin
    StringChangeEx(Path, ';' + ExpandConstant('{app}'), '', True);
    RegWriteExpandStringValue(HKCU, 'Environment', 'Path', Path);
  end;
end;
