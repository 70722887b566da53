import { FakeApi } from '../../__tests__/fakes';
import type { Api, FolderInfo, Offer, Problem } from '../../api';

export const OFFER: Offer = {
  containers: false,
  images: null,
  own_image: null,
  gpus: null,
  max_gpus_per_replica: null,
  max_replicas: 3,
  services_left: null,
  longest_token: null,
  cpus: null,
  memory: null,
  public: true,
  public_set_by: null
};

export function folder(more: Partial<FolderInfo> = {}): FolderInfo {
  return {
    path: 'words',
    folder: '/home/ann/words',
    definition_file: 'model-definition.yaml',
    definition: { models: [] },
    name: 'words',
    problems: [],
    port_problem: null,
    guesses: [],
    requests: [],
    ...more
  };
}

export const PROBLEM: Problem = {
  where: 'models[0].service.port',
  message: 'is 70000; a port is a number from 2 to 65535.',
  file: 'model-definition.yaml',
  line: 5,
  severity: 'error'
};

/** A server that answers with what the test puts in. */
export class FakeWorkbench extends FakeApi {
  folders: Record<string, FolderInfo> = { words: folder() };
  readonly sent: Array<readonly [string, unknown]> = [];
  answers: Partial<Record<keyof Api, (...given: any[]) => unknown>> = {};

  get api(): Api {
    const told = (name: keyof Api, otherwise: (...given: any[]) => unknown) => {
      return async (...given: any[]) => {
        this.sent.push([name, given.length > 1 ? given : given[0]]);
        return (this.answers[name] ?? otherwise)(...given);
      };
    };
    const base = super.api;
    return {
      ...base,
      site: told('site', () => base.site()),
      offer: async () => OFFER,
      folder: told('folder', (path: string) => this.folders[path]),
      create: told('create', () => this.services[0]),
      check: told('check', () => ({ problems: [], port_problem: null })),
      update: told('update', () => this.services[0]),
      draft: told('draft', () => ({ files: [], written: [] })),
      keepRequests: told('keepRequests', (_: string, requests: unknown) => requests)
    } as unknown as Api;
  }
}
